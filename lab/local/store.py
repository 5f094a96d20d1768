"""The store as plain files: `objects/ab/cdef…` by SHA-256, `pointers/NAME`. Written aside, fsynced, renamed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from lab.canonical import sha256
from lab.errors import Conflict, Damaged
from lab.files import Files, SystemFiles
from lab.stored import missing, object_name, pointer_name

ASIDE = ".aside"  # files that were being written; the sweep removes old ones


class FileStore:
    """Implements `lab.backend.Store` in `folder`."""

    def __init__(self, folder: Path, files: Files | None = None, rng: Random | None = None) -> None:
        self.folder, self._files, self._rng = folder, files or SystemFiles(), rng or Random()

    def put(self, path: Path) -> str:
        hash = self._files.digest(path)
        return hash if self._files.touch(self._object(hash)) else self._copied(path)

    def put_bytes(self, data: bytes) -> str:
        hash = sha256(data)
        target = self._object(hash)
        if not self._files.touch(target):  # what is there is young again, so that no sweep takes it
            self._write_aside(target, data)
        return hash

    def fetch(self, hash: str) -> Path:
        path = self._there(hash)
        if self._files.digest(path) != hash:
            raise _damaged(path)
        return path

    def read(self, hash: str) -> bytes:
        path = self._there(hash)
        data = self._files.read(path)
        if sha256(data) != hash:
            raise _damaged(path)
        return data

    def has(self, hash: str) -> bool:
        return self._files.exists(self._object(hash))

    def pointer(self, name: str) -> str | None:
        path = self._pointer(name)
        try:
            return self._files.read(path).decode() if self._files.exists(path) else None
        except UnicodeDecodeError:
            raise Damaged(f"the pointer {path} is damaged; remove it, then what it stood for is added again") from None

    def swap(self, name: str, expected: str | None, new: str) -> None:
        with self._lock():
            if self.pointer(name) != expected:
                raise Conflict(f"pointer {name} was moved by another writer")
            self._write_aside(self._pointer(name), new.encode())

    def hashes(self) -> Iterable[tuple[str, int, float]]:
        for path in self._files.glob(self.folder / "objects", "??/*"):
            if not path.name.startswith(ASIDE):
                facts = path.stat()
                yield path.parent.name + path.name, facts.st_size, facts.st_mtime

    def leftovers(self) -> list[Path]:
        """Files of writers that died before the rename."""
        return self._files.glob(self.folder, f"**/{ASIDE}*")

    def remove(self, hash: str) -> None:
        self._files.remove(self._object(hash))

    def retire(self, hash: str, before: float) -> bool:
        """Put aside first and then judged: whoever stores it again meanwhile has made it young, or sees it gone and
        writes it anew."""
        target = self._object(hash)
        modified = self._files.modified(target)
        if modified is None or modified > before:
            return False
        aside = self._aside(target.parent)
        self._files.replace(target, aside)
        if (self._files.modified(aside) or 0.0) > before:
            self._files.replace(aside, target)
            return False
        self._files.remove(aside)
        return True

    def _write_aside(self, target: Path, data: bytes) -> None:
        aside = self._aside(target.parent)
        try:
            self._files.write(aside, data)
            self._files.replace(aside, target)
        finally:
            if self._files.exists(aside):
                self._files.remove(aside)

    def _copied(self, path: Path) -> str:
        aside = self._aside(self.folder / "objects")
        try:
            hash = self._files.copy(path, aside)
            self._files.replace(aside, self._object(hash))
        finally:
            if self._files.exists(aside):
                self._files.remove(aside)
        return hash

    def _aside(self, folder: Path) -> Path:
        return folder / f"{ASIDE}-{self._rng.getrandbits(64):016x}"

    def _there(self, hash: str) -> Path:
        path = self._object(hash)
        if not self._files.exists(path):
            raise missing(hash)
        return path

    def _object(self, hash: str) -> Path:
        return self.folder / object_name(hash)

    def _pointer(self, name: str) -> Path:
        return self.folder / pointer_name(name)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _damaged(path: Path) -> Damaged:
    return Damaged(f"{path} does not match its hash; `aether doctor --repair` sets it aside, to be added again")
