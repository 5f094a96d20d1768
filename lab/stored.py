"""How files and pointers are named in every store, and what is said where a file is missing."""

from __future__ import annotations

import re

from lab.errors import NotFound, UserError

HASH = re.compile(r"[0-9a-f]{64}")
POINTER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def object_name(hash: str) -> str:
    """`objects/ab/cdef…`. Raises UserError for what is no SHA-256."""
    if not HASH.fullmatch(hash):
        raise UserError(f"{hash!r} is no SHA-256")
    return f"objects/{hash[:2]}/{hash[2:]}"


def pointer_name(name: str) -> str:
    """`pointers/NAME`. Raises UserError for what is no plain name."""
    if not POINTER.fullmatch(name):
        raise UserError(f"{name!r} is no pointer's name: lower-case letters, digits, dots and dashes")
    return f"pointers/{name}"


def missing(hash: str) -> NotFound:
    return NotFound(f"the store has no file {hash[:12]}…; was it removed by hand? add the clip again, "
                    f"or run the experiment again with `aether reproduce`")
