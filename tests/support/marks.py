"""Finding processes by a mark that they bear, whoever their parent is by now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil


def bearing(*marks: str) -> list[psutil.Process]:
    """Whatever runs, beside this process, with a mark in its command, its environment or, in a box that tells neither,
    in what is mounted there."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _runs(process)
            and any(mark in told for told in _told_by(process) for mark in marks)]


def _told_by(process: psutil.Process) -> Iterator[str]:
    with suppress(psutil.Error):
        yield " ".join(process.cmdline())
    with suppress(psutil.Error):
        yield from process.environ().values()
    with suppress(OSError):
        yield Path(f"/proc/{process.pid}/mountinfo").read_text()


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
