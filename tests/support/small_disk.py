"""A disk of a few MB, so that one can be full: memory mounted as a file system, which takes a superuser."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.servers import unavailable


@contextmanager
def small_disk(folder: Path, mb: int) -> Iterator[Path]:
    """Mounted at `folder` until the block ends. Skips the test, with the fix, where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mb}m", "aether-test", str(folder)],
                             capture_output=True, text=True)
    if mounted.returncode:
        unavailable(f"no small disk can be mounted here ({mounted.stderr.strip()})",
                    "run the tests as root, or in `unshare -rm`")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all that is left; give it back by removing it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 4096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler
