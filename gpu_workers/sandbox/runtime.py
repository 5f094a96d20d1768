"""What of this machine a box needs in order to run Python at all, and the packages of ours that it may import.

/usr, the environment and its base Python; no /etc but the loader's cache, no home, nothing of the laboratory.
Code lies under one neutral path wherever the repository is.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from gpu_workers.sandbox.plan import CODE, Bind

PACKAGES = ("gpu_workers", "lab", "aether_kit")
LOADER_CACHE = Path("/etc/ld.so.cache")  # where libraries under /usr/local are found by
TOP = ("bin", "sbin", "lib", "lib32", "lib64")  # links into /usr on most machines, folders on some


def python() -> tuple[Bind, ...]:
    """The environment and its base, each under its own path and under the one that its links lead to."""
    found = {Path(place) for name in (sys.prefix, sys.base_prefix) for place in (name, os.path.realpath(name))}
    found |= set(_link_folders(Path(sys.executable)))
    outside = sorted(place for place in found if not place.is_relative_to("/usr"))
    return tuple(Bind(place, str(place)) for place in outside
                 if not any(place != other and place.is_relative_to(other) for other in outside))


def packages(*more: str) -> tuple[Bind, ...]:
    """Our packages, and those named (a track of its own brings its own), as folders under /code."""
    return tuple(Bind(_folder(name), f"{CODE}/{name}") for name in dict.fromkeys((*PACKAGES, *more)))


def interpreter(program: str, *arguments: str) -> tuple[str, ...]:
    """Python in the box, running a program text that may import what lies under /code."""
    return (sys.executable, "-I", "-B", "-c", f"import sys; sys.path.insert(0, {CODE!r}); {program}", *arguments)


def system(usr: Iterable[str]) -> list[str]:
    """The arguments that show these parts of /usr and the top folders which lead into it."""
    arguments = [word for part in usr for word in ("--ro-bind", part, part)]
    for name in TOP:
        place = Path("/", name)
        if place.is_symlink():
            arguments += ["--symlink", os.readlink(place), str(place)]
        elif place.is_dir():
            arguments += ["--ro-bind", str(place), str(place)]
    return [*arguments, "--ro-bind-try", str(LOADER_CACHE), str(LOADER_CACHE)]


def _link_folders(executable: Path) -> Iterable[Path]:
    """The folders through which the links from the environment's interpreter lead to the real one."""
    while executable.is_symlink():
        target = Path(os.path.normpath(executable.parent / os.readlink(executable)))
        yield target.parent.parent if target.parent.name == "bin" else target.parent
        executable = target


def _folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found is not None, package  # it is what we run
    places = list(found.submodule_search_locations or ())
    return Path(places[0])
