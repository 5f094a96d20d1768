"""What `cdk.json` runs. The settings are read before the CDK is imported, which takes seconds: a wrong one is refused
without it."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec

from cdk.settings import from_context, lab_settings
from lab.errors import UserError


def main() -> None:
    said = os.environ.get("CDK_CONTEXT_JSON", "")
    if "CONTEXT_OVERFLOW_LOCATION_ENV" not in os.environ and said:  # a long one is in a file, which the CDK reads
        try:
            lab_settings(from_context(json.loads(said)))
        except UserError as error:
            sys.exit(f"aether: {error}")
    if find_spec("aws_cdk") is None:  # another set of packages was brought in since
        sys.exit("aether: the CDK is not installed here; run `make cloud`")
    from cdk.app import main as synthesise
    synthesise()


if __name__ == "__main__":
    main()
