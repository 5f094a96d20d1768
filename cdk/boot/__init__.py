"""The script by which an instance starts: settings as shell variables, then install.sh and boot.sh, as user data."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
LOCK = HERE.parents[1] / "requirements" / "core.txt"
FIRST = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")  # boto3 and what it needs
USER_DATA_BYTES = 16_384  # EC2 takes no more


def user_data(settings: Mapping[str, str]) -> str:
    """Values are quoted for the shell; CDK's own tokens in them become plain names."""
    lines = [f"readonly {name}={shlex.quote(value)}" for name, value in settings.items()]
    helper, install, script = ((HERE / name).read_text() for name in ("instance.py", "install.sh", "boot.sh"))
    return "\n".join(["#!/usr/bin/env bash", *lines, _text("FIRST", first_lock()), _text("HELPER", helper), install,
                      script])


def _text(name: str, text: str) -> str:
    """A variable of many lines; `read` gives 1 at the end of them."""
    return f"read -r -d '' {name} <<'END_OF_{name}' || true\n{text.rstrip()}\nEND_OF_{name}"


def first_lock() -> str:
    """The locked, hashed lines of boto3 and what it needs, from the project's own lock file."""
    entries = LOCK.read_text().replace(" \\\n", " ").splitlines()
    chosen = {name: entry for entry in entries for name in FIRST if entry.startswith(f"{name}==")}
    return "\n".join(" ".join(chosen[name].split()) for name in FIRST)
