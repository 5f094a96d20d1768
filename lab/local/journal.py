"""The journal: every change as one hashed line in an append-only file beside the database.

Each line is `HASH JSON`, where HASH covers the line before and this JSON, so that a cut, a flip or an edit shows at its
line. The daemon alone appends, after each look at the changes; at its start it cuts a torn last line off and goes on
from the last good one. `aether doctor` restores records from it, and names the lag between journal and database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from lab.canonical import canonical_json
from lab.control import Change, Image
from lab.files import Files, SystemFiles

SEED = "0" * 32


class Line(msgspec.Struct, frozen=True):
    """A good line: its change, its own hash, and where it ends in the file."""

    change: Change
    hash: str
    end: int


class Journal:
    def __init__(self, path: Path, files: Files | None = None) -> None:
        self.path, self._files = path, files or SystemFiles()
        self._last_n, self._last_hash = 0, SEED
        self._torn = False  # an append failed; part of it may stand at the end

    @property
    def last(self) -> int:
        """The number of the last change that is safely in the file."""
        return self._last_n

    def open(self) -> int:
        """Find the last good line, cut what follows it, and give the number of its change."""
        self._last_n, self._last_hash, self._torn = 0, SEED, False
        if not self._files.exists(self.path):
            return 0
        end, last = 0, b""
        for body, hash, stop in _chained(self._files.lines(self.path)):
            last, self._last_hash, end = body, hash, stop
        if last:
            self._last_n = msgspec.json.decode(last, type=Change).n
        self._files.truncate(self.path, end)
        return self._last_n

    def append(self, changes: Sequence[Change]) -> None:
        """Add those that follow the last one, durably. Raises ValueError where a number is missing in between, and
        Unavailable where the disk says no: then call again, and what was half written is cut off first."""
        if self._torn:
            self.open()
        lines, n, hash = [], self._last_n, self._last_hash
        for change in changes:
            if change.n <= n:
                continue
            if change.n != n + 1:
                raise ValueError(f"the journal ends at change {n}; {change.n} does not follow it")
            body = canonical_json(change)
            n, hash = change.n, _chain(hash, body)
            lines.append(f"{hash} ".encode() + body + b"\n")
        if lines:
            self._torn = True
            self._files.append(self.path, b"".join(lines))
            self._last_n, self._last_hash, self._torn = n, hash, False


def good_lines(lines: Iterable[bytes]) -> Iterator[Line]:
    """Those from the start that hold the chain; ends before the first that does not."""
    for body, hash, end in _chained(lines):
        yield Line(msgspec.json.decode(body, type=Change), hash, end)


def _chained(lines: Iterable[bytes]) -> Iterator[tuple[bytes, str, int]]:
    """(body, hash, where the line ends) of each line that follows from the one before it."""
    before, end = SEED, 0
    for line in lines:
        hash, _, body = line.partition(b" ")
        if not body.endswith(b"\n") or hash.decode(errors="replace") != _chain(before, body[:-1]):
            return
        before, end = hash.decode(), end + len(line)
        yield body[:-1], before, end


def sound_lines(lines: Iterable[bytes]) -> Iterator[Change | None]:
    """Every change whose line follows from what the line before says of itself, and None in the place of a line that
    does not: so that one damaged line costs itself, at most one neighbour, and not all that follows. An unfinished last
    line is none: it is being written, or a crash tore it before anyone was told that it is there."""
    before = SEED
    for line in lines:
        if not line.endswith(b"\n"):
            return
        hash, _, body = line.partition(b" ")
        told = hash.decode(errors="replace")
        sound = told == _chain(before, body[:-1])
        yield msgspec.json.decode(body, type=Change) if sound else None
        before = told


def newest(lines: Iterable[bytes]) -> Change | None:
    """The last sound one, whatever stands before it."""
    last = None
    for change in sound_lines(lines):
        last = change or last
    return last


def replay(changes: Iterable[Change]) -> dict[tuple[str, str], Image]:
    """The state that these changes add up to: the last image of each record."""
    return {(image.kind, image.id): image for change in changes for image in change.records}


def _chain(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode() + body).hexdigest()[:32]
