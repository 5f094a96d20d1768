"""The least that a decoding agent from outside needs of this machine: Python, arrays, networks, and our decoder.

Less than other boxes see, for one reason: whatever a box can read can carry bits to it in the page cache, and every
file has to be put into a known state before it starts (`residue`). A whole machine would take that half a minute.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from gpu_workers.sandbox.plan import CODE

DISTRIBUTIONS = ("av", "constriction", "crc32c", "msgspec", "numpy", "pillow", "psutil", "safetensors", "torch",
                 "torchvision")
COMPILERS = {"triton"}  # a gigabyte that torch takes only to compile, for which a decoder has no compiler anyway
LARGE_BYTES = 4 << 20  # smaller packages are read sooner than covered
USR = ("bin", "lib32", "lib64", "lib/locale", "lib/python3*", "lib/*-linux-gnu*")
LEFT_OF_PYTHON = ("site-packages", "dist-packages", "test", "idlelib", "ensurepip", "config-*")
ENCODER_SIDE = ("codec/families", "codec/measure")


def usr() -> tuple[str, ...]:
    """The parts of /usr that are shown."""
    base = Path(sys.base_prefix)
    parts = (*USR, "local/bin", "local/lib") if base.is_relative_to("/usr/local") else USR
    found = (place for part in parts for place in sorted(Path("/usr").glob(part)))
    return tuple(str(place) for place in found if place.is_dir() and not place.is_symlink())


@cache
def hidden() -> tuple[tuple[Path, str], ...]:
    """Folders of this machine and the paths in the box that are covered by nothing."""
    own = [(place, str(place)) for place in (*_of_python(), *_of_environment())]
    package = Path(__file__).parents[1]
    return (*own, *((package / part, f"{CODE}/{package.name}/{part}") for part in ENCODER_SIDE))


def _of_python() -> Iterator[Path]:
    """Of the base's own library; what is installed there counts only if it is the environment as well."""
    library = Path(sysconfig.get_path("stdlib"))
    for pattern in LEFT_OF_PYTHON:
        yield from (place for place in library.glob(pattern) if place != _site_packages() and place.is_dir())


def _of_environment() -> Iterator[Path]:
    """Large packages that no decoder needs."""
    kept = _closure(DISTRIBUTIONS) - COMPILERS
    needed = {part for name in kept for part in _top_folders(importlib.metadata.distribution(name))}
    large = {part for one in importlib.metadata.distributions() if _bytes(one) > LARGE_BYTES
             for part in _top_folders(one)}
    yield from (place for part in sorted(large - needed) if (place := _site_packages() / part).is_dir())


def _closure(names: tuple[str, ...]) -> set[str]:
    """The distributions that are installed, and all that they require."""
    found, left = set[str](), list(names)
    while left:
        name = left.pop().lower()
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            left += [match[0] for line in required if "extra ==" not in line
                     and (match := re.match(r"[\w.-]+", line)) is not None]
    return found


def _top_folders(one: importlib.metadata.Distribution) -> set[str]:
    return {file.parts[0] for file in one.files or () if len(file.parts) > 1 and file.parts[0] != ".."}


def _bytes(one: importlib.metadata.Distribution) -> int:
    return sum(file.size or 0 for file in one.files or ())


def _site_packages() -> Path:
    return Path(sysconfig.get_path("platlib"))
