"""Reading what a phase claims about itself: progress lines, which are data from a stranger.

Only known shapes pass: one JSON object a line of at most 2 KiB, few short names, numbers below 10^15, printable
notes of at most 200 characters. Anything else is dropped, and after 1 MiB in all the rest of the stream is.
A claim is shown to people and is never a metric.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gpu_workers.phase import PROGRESS_LINE_BYTES

STREAM_BYTES = 1 << 20
NAMES = 16
LARGEST = 1e15
NOTE_LENGTH = 200
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class ClaimReader:
    """Fed with bytes as they come, in any pieces; gives whole claims."""

    def __init__(self) -> None:
        self._rest = b""
        self._left = STREAM_BYTES
        self._skipping = False  # inside a line that is too long already

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        data, self._left = data[: self._left], self._left - min(len(data), self._left)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._skipping and lines:
            del lines[0]
            self._skipping = False
        if len(self._rest) > PROGRESS_LINE_BYTES:
            self._rest, self._skipping = b"", True
        return [claim for line in lines if (claim := parse_claim(line)) is not None]


def parse_claim(line: bytes) -> dict[str, Any] | None:
    if len(line) > PROGRESS_LINE_BYTES:
        return None
    try:
        claim = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if not isinstance(claim, dict) or not 0 < len(claim) <= NAMES:
        return None
    return claim if all(_NAME.fullmatch(name) and _plain(value) for name, value in claim.items()) else None


def _plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= NOTE_LENGTH and value.isprintable()
    if isinstance(value, (int, float)):
        return abs(value) < LARGEST
    return value is None
