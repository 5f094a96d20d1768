"""The file layer under store, journal and outbox: few verbs, so that a simulator can tear, lose and refuse writes.

A file becomes visible by `replace` alone, and only after its bytes are on the disk: write aside, fsync, rename, fsync
the folder. Errors of the system come out as `Unavailable`, with the fix.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from lab.errors import Unavailable


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

    def read(self, path: Path) -> bytes: ...

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
