"""Bringing what a box will read into one known state, whatever another box has done before.

Which pages of a library lie in memory is something that one phase can choose and the next can measure, by the time that
a page takes: thousands of bits past every wall. So between encoding and decoding by code from outside we look at every
file that the decoder's box will be able to read, and bring all of its pages in: then they tell nothing.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from gpu_workers.sandbox.box import SandboxFault
from gpu_workers.sandbox.plan import Plan

MADV_POPULATE_READ = 22  # <linux/mman.h>, since 5.14: every page of the mapping, without copying one
SMALL_BYTES = 64 << 10  # below that a read is cheaper than a mapping
MEMORY_SHARE = 0.5  # of the machine's memory; more would push itself out again


def settle(plan: Plan) -> int:
    """Reads all that a box of this plan can read; gives the bytes. Raises SandboxFault where that is too much."""
    covered = {place for place, _ in plan.hidden}
    folders = [*(Path(part) for part in plan.usr), *(bind.source.resolve() for bind in plan.binds)]
    return settle_files(path for folder in folders for path in _files(folder, covered))


def settle_files(files: Iterable[Path]) -> int:
    most = int(psutil.virtual_memory().total * MEMORY_SHARE)
    total = 0
    for path in files:
        with suppress(OSError):  # a broken link, or a file that nobody may read
            total += _bring_in(path)
        if total > most:
            raise SandboxFault(f"what a decoder can read here is more than {most >> 20} MB, half of this machine's "
                               f"memory; a smaller build of torch would do: make setup TORCH=cpu")
    return total


def _bring_in(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        size = os.fstat(descriptor).st_size
        if size <= SMALL_BYTES:
            os.pread(descriptor, size, 0)
        else:
            with mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as pages:
                pages.madvise(MADV_POPULATE_READ)
        return size
    finally:
        os.close(descriptor)


def _files(place: Path, covered: set[Path]) -> Iterator[Path]:
    """Files below it that are files: links lead to others that are looked at under their own names."""
    if not place.is_dir():
        yield place
        return
    left = [place]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left += [Path(entry.path)] if Path(entry.path) not in covered else []
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)
                else:
                    with suppress(OSError):
                        entry.stat()
