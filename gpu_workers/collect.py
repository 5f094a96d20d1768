"""Taking files from a folder that a stranger wrote: only plain ones, under names that were declared, up to a size.

A link, a folder in a file's place, a socket, a file with a second name or one that is too large is refused, and the
file is opened before it is judged, so that it cannot be exchanged in between.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.errors import AetherError

FOLDER_FILES = 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")


class NotCollected(AetherError):
    """A declared output is missing or is no plain file; the message says which and why."""


def collect(out: Path, outputs: tuple[str, ...], cap_bytes: int) -> dict[str, Path]:
    """The declared outputs of a phase, as name → path. `NAME/` stands for each file directly in that folder.

    `cap_bytes` holds for all of them together. Raises NotCollected.
    """
    names = [name for output in outputs for name in _names(out, output)]
    left = cap_bytes
    found: dict[str, Path] = {}
    for name in names:
        with _opened(out, name) as descriptor:
            left -= _plain_size(descriptor, name, left)
        found[name] = out / name
    return found


def read_plain(out: Path, name: str, cap_bytes: int) -> bytes:
    """The bytes of one declared output, at most `cap_bytes`. Raises NotCollected."""
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


def _names(out: Path, output: str) -> list[str]:
    if not output.endswith("/"):
        return [output]
    folder = out / output.rstrip("/")
    if folder.is_symlink() or not folder.is_dir():
        raise NotCollected(f"the phase left no folder {output}")
    entries = sorted(os.listdir(folder))
    if len(entries) > FOLDER_FILES:
        raise NotCollected(f"{output} holds {len(entries)} files; at most {FOLDER_FILES} are collected")
    return [output + entry for entry in entries]


@contextmanager
def _opened(out: Path, name: str) -> Iterator[int]:
    """Opens step by step from `out` downwards, following no link. Raises NotCollected."""
    parts = name.split("/")
    if not all(_NAME.fullmatch(part) for part in parts):
        raise NotCollected(f"{name!r} is no name for an output")
    opened: list[int] = []
    try:
        opened.append(os.open(out, os.O_RDONLY | os.O_DIRECTORY))
        for depth, part in enumerate(parts):
            last = depth == len(parts) - 1
            kind = os.O_NONBLOCK if last else os.O_DIRECTORY
            opened.append(os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=opened[-1]))
        yield opened[-1]
    except OSError as error:
        raise NotCollected(f"output {name} cannot be collected: {error.strerror}") from error
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _plain_size(descriptor: int, name: str, cap_bytes: int) -> int:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        raise NotCollected(f"output {name} is no plain file")
    if facts.st_size > cap_bytes:
        raise NotCollected(f"output {name} has {facts.st_size} bytes, and {cap_bytes} are allowed")
    return facts.st_size
