"""Parameters as they stand on a command line: `--param NAME=VALUE`, numbers and switches as such, the rest text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from lab.errors import UserError

if TYPE_CHECKING:
    from lab.space import Value


def parse_params(pairs: Sequence[str]) -> dict[str, Value]:
    """Raises UserError for what is no NAME=VALUE."""
    found: dict[str, Value] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise UserError(f"--param {pair!r}: write NAME=VALUE, such as svtav1_film_grain=8")
        try:
            found[name] = msgspec.json.decode(text, type=bool | int | float)
        except msgspec.DecodeError:
            found[name] = text
    return found
