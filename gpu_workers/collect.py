"""Taking files from a folder that a stranger wrote: only plain ones, under names that were declared, up to a size.

A link, a folder in a file's place, a socket, a file with a second name, one that its owner cannot read or one that is
too large is refused, and the file is opened before it is judged, so that it cannot be exchanged in between.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpu_workers.beneath import open_beneath
from lab.errors import AetherError

FOLDER_FILES = 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")
_PIECE_BYTES = 1 << 20


class NotCollected(AetherError):
    """A declared output is missing or is no plain file; the message says which and why."""


def collect(out: Path, outputs: tuple[str, ...], cap_bytes: int) -> dict[str, Path]:
    """The declared outputs of a phase, as name → path. `NAME/` stands for each file directly in that folder.

    `cap_bytes` holds for all of them together. Raises NotCollected.
    """
    with _folder(out) as folder:
        return {name: out / name for name, _ in _judged(folder, outputs, cap_bytes)}


def take(out: int, outputs: tuple[str, ...], cap_bytes: int, target: Path) -> None:
    """Copies the declared outputs from the opened folder `out` into `target`: the bytes, and nothing else of them.

    What stands under such a name in `target` is replaced whole. Raises NotCollected.
    """
    for name, descriptor in _judged(out, outputs, cap_bytes):
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.aside")
        with suppress(FileNotFoundError):
            aside.unlink()
        _copy(descriptor, aside, name, cap_bytes)
        os.replace(aside, path)


def read_plain(out: Path, name: str, cap_bytes: int) -> bytes:
    """The bytes of one declared output, at most `cap_bytes`. Raises NotCollected."""
    with _folder(out) as folder:
        return read_plain_at(folder, name, cap_bytes)


def read_plain_at(out: int, name: str, cap_bytes: int) -> bytes:
    """The same from an opened folder."""
    with _opened(out, name) as descriptor:
        size = _plain_size(descriptor, name, cap_bytes)
        return os.read(descriptor, size)


def folder_bytes(folder: Path) -> int:
    """What all the files below it hold on the disk. Follows no link."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it went meanwhile
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total


def _judged(out: int, outputs: tuple[str, ...], cap_bytes: int) -> Iterator[tuple[str, int]]:
    """Each name with a descriptor of a file that may be taken."""
    left = cap_bytes
    for name in [name for output in outputs for name in _names(out, output)]:
        with _opened(out, name) as descriptor:
            left -= _plain_size(descriptor, name, left)
            yield name, descriptor


def _names(out: int, output: str) -> list[str]:
    if not output.endswith("/"):
        return [output]
    with _opened(out, output.rstrip("/"), os.O_DIRECTORY) as folder:
        entries = sorted(os.listdir(folder))
    if len(entries) > FOLDER_FILES:
        raise NotCollected(f"{output} holds {len(entries)} files; at most {FOLDER_FILES} are collected")
    return [output + entry for entry in entries]


@contextmanager
def _folder(out: Path) -> Iterator[int]:
    """Raises NotCollected."""
    try:
        descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotCollected(f"the folder of the outputs cannot be opened: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened(out: int, name: str, flags: int = 0) -> Iterator[int]:
    """Raises NotCollected."""
    if not all(_NAME.fullmatch(part) for part in name.split("/")):
        raise NotCollected(f"{name!r} is no name for an output")
    try:
        descriptor = open_beneath(out, name, flags)
    except OSError as error:
        raise NotCollected(f"output {name} cannot be collected: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _plain_size(descriptor: int, name: str, cap_bytes: int) -> int:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or not facts.st_mode & stat.S_IRUSR:
        raise NotCollected(f"output {name} is no plain file")
    if facts.st_size > cap_bytes:
        raise NotCollected(f"output {name} has {facts.st_size} bytes, and {cap_bytes} are allowed")
    return facts.st_size


def _copy(descriptor: int, path: Path, name: str, cap_bytes: int) -> None:
    left = cap_bytes
    with open(path, "xb", opener=lambda place, flags: os.open(place, flags | os.O_NOFOLLOW, 0o444)) as file:
        while piece := os.read(descriptor, _PIECE_BYTES):
            left -= len(piece)
            if left < 0:
                raise NotCollected(f"output {name} grew while it was read")
            file.write(piece)
