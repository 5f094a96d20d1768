"""Fetched files kept on this machine, by their hash: what lies here is checked at every use and may go at any time.

Bounded: above `limit_bytes` those that were used longest ago go. What was used within a day stays also beyond it, since
an attempt may be working with it under its path.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from lab.files import Files, SystemFiles
from lab.stored import object_name

LIMIT_BYTES = 20 << 30
IN_USE_S = 24 * 3600.0
READ_ONLY = 0o444
ASIDE = ".aside"


class Cache:
    """In `folder`, which several processes of one machine may share."""

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES, in_use_s: float = IN_USE_S) -> None:
        self._folder, self._limit, self._in_use_s = folder, limit_bytes, in_use_s
        self._files: Files = SystemFiles()
        self._unseen = limit_bytes  # bytes that came since the last look at all files; at first all may have

    def found(self, hash: str) -> Path | None:
        """The file, if it is here and whole; one that is not is forgotten."""
        path = self._path(hash)
        if not self._files.touch(path):
            return None
        if self._files.digest(path) == hash:
            return path
        self._files.remove(path)
        return None

    @contextmanager
    def aside(self) -> Iterator[Path]:
        """Where to write what may be kept; gone after the block if it was not."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{ASIDE}-{token_hex(8)}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def keep(self, hash: str, aside: Path) -> Path:
        """Under its hash, which the caller has checked."""
        path, size = self._path(hash), aside.stat().st_size
        os.chmod(aside, READ_ONLY)
        self._files.replace(aside, path)
        self._unseen += size
        if self._unseen > self._limit // 16:
            self._unseen = 0
            self._make_room()
        return path

    def forget(self, hash: str) -> None:
        self._files.remove(self._path(hash))

    def _make_room(self) -> None:
        found = []
        for path in self._folder.glob("objects/??/*"):
            with suppress(FileNotFoundError):
                facts = path.stat()
                found.append((facts.st_mtime, facts.st_size, path))
        over, now = sum(size for _, size, _ in found) - self._limit, time.time()
        for used_at, size, path in sorted(found):
            if over <= 0 or now - used_at < self._in_use_s:
                return
            path.unlink(missing_ok=True)
            over -= size

    def _path(self, hash: str) -> Path:
        return self._folder / object_name(hash)
