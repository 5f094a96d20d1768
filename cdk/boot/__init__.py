"""The scripts by which an instance starts and an image is built: settings as shell variables, then, packed, install.sh
and boot.sh as user data, or bake.sh as a component of Image Builder.
"""

from __future__ import annotations

import base64
import gzip
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
LOCK = HERE.parents[1] / "requirements" / "core.txt"
FIRST = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")  # boto3 and what it needs
USER_DATA_BYTES = 16_384  # EC2 takes no more
COMPONENT_CHARACTERS = 16_000  # nor does Image Builder


def user_data(settings: Mapping[str, str]) -> str:
    return _script(settings, "boot.sh")


def component(settings: Mapping[str, str]) -> str:
    """A document of one step. The script is one quoted scalar: as a block each of its lines would be indented, and the
    document too long."""
    script = json.dumps(_script(settings, "bake.sh"))
    return ("name: bake\nschemaVersion: 1.0\nphases:\n  - name: build\n    steps:\n      - name: bake\n"
            f"        action: ExecuteBash\n        inputs:\n          commands:\n            - {script}\n")


def _script(settings: Mapping[str, str], last: str) -> str:
    """Values are quoted for the shell; CDK's own tokens in them become plain names, and so they cannot be packed. All
    else is, for there is little room."""
    lines = [f"readonly {name}={shlex.quote(value)}" for name, value in settings.items()]
    packed = base64.encodebytes(gzip.compress(unpacked(last).encode(), mtime=0)).decode()  # the same at each synthesis
    return "\n".join([
        "#!/usr/bin/env bash", *lines, f"# To read on: /opt/boot/{last}, or what stands packed, by base64 -d | gunzip.",
        "set -eo pipefail", "mkdir -p /opt/boot", f"base64 -d <<'PACKED' | gunzip >/opt/boot/{last}", f"{packed}PACKED",
        "# shellcheck source=/dev/null", f". /opt/boot/{last}", ""])


def unpacked(last: str) -> str:
    """What is the same on every machine."""
    helper, install, end = ((HERE / name).read_text() for name in ("instance.py", "install.sh", last))
    return "\n".join(["#!/usr/bin/env bash", _text("FIRST", first_lock()), _text("HELPER", helper), install, end])


def _text(name: str, text: str) -> str:
    """A variable of many lines; `read` gives 1 at the end of them."""
    return f"read -r -d '' {name} <<'END_OF_{name}' || true\n{text.rstrip()}\nEND_OF_{name}"


def first_lock() -> str:
    """The locked, hashed lines of boto3 and what it needs, from the project's own lock file."""
    entries = LOCK.read_text().replace(" \\\n", " ").splitlines()
    chosen = {name: entry for entry in entries for name in FIRST if entry.startswith(f"{name}==")}
    return "\n".join(" ".join(chosen[name].split()) for name in FIRST)
