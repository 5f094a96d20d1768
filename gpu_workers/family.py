"""A process and all that it has started, as the kernel knows them: who they are, and what memory they use."""

from __future__ import annotations

import contextlib

import psutil


def family(pid: int) -> list[psutil.Process]:
    """The process and its descendants; empty if it is gone."""
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def family_mb(pid: int) -> float:
    """Resident memory of all of them. What they share is counted more than once, so the figure is an upper bound."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            total += member.memory_info().rss
    return total / (1 << 20)


def kill(member: psutil.Process) -> None:
    """Kills this process, and no other that has taken its number since."""
    with contextlib.suppress(psutil.NoSuchProcess):
        member.kill()
