"""What processes that died have left in a lab's folder: half-written files, and scratch of attempts that are over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

SCRATCH = "scratch"
ASIDE = ".aside"


def leftovers(folder: Path, running: Collection[str], *, now: float, grace_s: float) -> list[Path]:
    """`running` are the attempts that own their scratch, as ID.FENCE. A half-written file is left once it is old."""
    halves = [path for path in sorted(folder.rglob(f"*{ASIDE}*")) if path.is_file() and _is_aside(path)
              and now - path.stat().st_mtime >= grace_s and folder / SCRATCH not in path.parents]
    scratch = folder / SCRATCH
    dead = [path for path in sorted(scratch.iterdir()) if path.name not in running] if scratch.is_dir() else []
    return halves + dead


def size_of(path: Path) -> int:
    """Bytes of a file, or of all the files below a folder; links count as nothing."""
    if path.is_file() and not path.is_symlink():
        return path.stat().st_size
    return sum(os.lstat(Path(folder, name)).st_size for folder, _, names in os.walk(path) for name in names
               if not Path(folder, name).is_symlink())


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)  # its owner may be clearing it at this moment
    else:
        path.unlink(missing_ok=True)


def _is_aside(path: Path) -> bool:
    return path.name.startswith(ASIDE) or path.suffix == ASIDE
