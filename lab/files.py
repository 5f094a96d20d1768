"""The file layer under store, journal and outbox: few verbs, so that a simulator can tear, lose and refuse writes.

A file becomes visible by `replace` alone, and only after its bytes are on the disk: write aside, fsync, rename, fsync
the folder. Errors of the system come out as `Unavailable`, with the fix.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from lab.errors import Unavailable

PIECE_BYTES = 1 << 20  # of a file in memory at once


class Files(Protocol):
    def write(self, path: Path, data: bytes) -> None:
        """Durable when it returns: written and fsynced under this very name."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Atomic and durable when it returns."""
        ...

    def append(self, path: Path, data: bytes) -> None:
        """Durable when it returns; after a crash before that, any prefix of `data` may stand at the end."""
        ...

    def copy(self, source: Path, target: Path) -> str:
        """Durable when it returns, and read but once; gives the SHA-256 of what was written."""
        ...

    def read(self, path: Path) -> bytes: ...

    def digest(self, path: Path) -> str:
        """SHA-256 of the file, which may be larger than memory."""
        ...

    def touch(self, path: Path) -> bool:
        """Make it as young as one that is written now; whether it was there."""
        ...

    def modified(self, path: Path) -> float | None:
        """When it was written or touched last, on the wall clock; None if it is not there."""
        ...

    def lines(self, path: Path) -> Iterator[bytes]:
        """Line by line with its end, so that a large file needs no memory."""
        ...

    def truncate(self, path: Path, size: int) -> None: ...

    def exists(self, path: Path) -> bool: ...

    def remove(self, path: Path) -> None: ...

    def glob(self, folder: Path, pattern: str) -> list[Path]: ...


class SystemFiles:
    """The real file system."""

    def write(self, path: Path, data: bytes) -> None:
        with _plain_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                sync(file.fileno())

    def replace(self, source: Path, target: Path) -> None:
        with _plain_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
            sync_folder(target.parent)

    def append(self, path: Path, data: bytes) -> None:
        with _plain_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(data)
                file.flush()
                sync(file.fileno())

    def copy(self, source: Path, target: Path) -> str:
        digest = hashlib.sha256()
        with _plain_errors(source), source.open("rb") as reading, _plain_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as writing:
                while piece := reading.read(PIECE_BYTES):
                    digest.update(piece)
                    writing.write(piece)
                writing.flush()
                sync(writing.fileno())
        return digest.hexdigest()

    def digest(self, path: Path) -> str:
        with _plain_errors(path), path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def touch(self, path: Path) -> bool:
        with _plain_errors(path), suppress(FileNotFoundError):
            os.utime(path)
            return True
        return False

    def modified(self, path: Path) -> float | None:
        with _plain_errors(path), suppress(FileNotFoundError):
            return path.stat().st_mtime
        return None

    def read(self, path: Path) -> bytes:
        with _plain_errors(path):
            return path.read_bytes()

    def lines(self, path: Path) -> Iterator[bytes]:
        with _plain_errors(path), path.open("rb") as file:
            yield from file

    def truncate(self, path: Path, size: int) -> None:
        """Cut the file after `size` bytes, if it is longer."""
        if path.stat().st_size <= size:
            return
        with _plain_errors(path), path.open("r+b") as file:
            file.truncate(size)
            sync(file.fileno())

    def exists(self, path: Path) -> bool:
        return path.exists()

    def remove(self, path: Path) -> None:
        with _plain_errors(path):
            path.unlink(missing_ok=True)

    def glob(self, folder: Path, pattern: str) -> list[Path]:
        return sorted(folder.glob(pattern))


def sync(descriptor: int) -> None:
    """Put the kernel's pages of this file on the disk."""
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable(f"the disk of {path} is full; free some space, no finished work is lost") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise Unavailable(f"cannot write {path}: {error.strerror}; make the folder writable") from error
        raise Unavailable(f"{path}: {error.strerror}") from error
