"""What `cdk destroy` left, by name, as `cdk import` is told it: `python -m cdk.kept [PREFIX]`, of account and region in
force. The command line alone would ask a person to type the bucket's name.
"""

from __future__ import annotations

import json
import sys

from lab.aws.backend import names_here
from lab.errors import AetherError


def main(prefix: str = "aether") -> None:
    names = names_here(prefix)
    print(json.dumps({"Ledger": {"TableName": names.table}, "Store": {"BucketName": names.bucket}}))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except AetherError as error:
        sys.exit(f"aether: {error}")
