"""What a look at a machine, a laboratory or an account has found: one line each, with its fix."""

from __future__ import annotations

from typing import Literal

import msgspec

from lab.errors import AetherError

Level = Literal["ok", "note", "bad"]
AGAIN = "deploy it again"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`note` is worth knowing; only `bad` has to be mended."""

    name: str
    found: str
    fix: str = ""
    level: Level = "ok"


def failed(name: str, error: AetherError, level: Level = "bad") -> Finding:
    """Something could not be looked at: our errors say what to do after a semicolon."""
    found, _, fix = str(error).rpartition("; ")
    return Finding(name=name, found=found or fix, fix=fix if found else "", level=level)
