"""Whether a box has too much of something: memory above its ceiling, files without end, or a machine without any left.

Looked at every tenth of a second, from outside. What processes share counts more than once in the cheap figure, so the
exact one is taken before anything is ended for it.
"""

from __future__ import annotations

import threading
from contextlib import suppress

import psutil

from gpu_workers.phase import Failure
from gpu_workers.sandbox.box import Box
from gpu_workers.sandbox.inside import Inside, Usage
from gpu_workers.sandbox.limits import HOST_FLOOR, HOST_SHARE, INODES, LOOK_INTERVAL_S, Limits


class Watcher:
    """Ends a box that has too much, from a thread of its own: whoever polls the box may be busy, storing gigabytes that
    it left, say, and in that time it could take the whole machine. To be closed before the box is."""

    def __init__(self, box: Box) -> None:
        self.why: Failure | None = None  # it was ended, if it was
        self.peak_mb = 0.0
        self._box, self._over = box, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while self.why is None and not self._over.wait(LOOK_INTERVAL_S):
            usage = self._box.inside.usage()
            if usage.resident_mb:  # else its processes are gone already, and only the room of its files is left
                self.peak_mb = max(self.peak_mb, usage.total_mb)
            self.why = excess(self._box.inside, usage, self._box.plan.limits)
        if self.why is not None:
            self._box.kill()


def excess(inside: Inside, usage: Usage, limits: Limits) -> Failure | None:
    """Why the box has to end now, or None."""
    limit_mb, memory = limits.memory_mb, psutil.virtual_memory()
    available_mb, total_mb = memory.available >> 20, memory.total >> 20
    if usage.inodes > INODES:
        return Failure(reason="disk", detail=f"{usage.inodes} files, and {INODES} are allowed")
    if usage.total_mb > limit_mb or has_to_go(usage.total_mb, available_mb, total_mb, limits):
        exact_mb = usage.total_mb - usage.resident_mb + inside.exact_resident_mb()
        if exact_mb > limit_mb:
            return Failure(reason="memory", detail=f"{exact_mb:.0f} MB of {limit_mb} MB in use")
        if has_to_go(exact_mb, available_mb, total_mb, limits):
            return Failure(reason="harness_fault",
                           detail=f"the machine has {available_mb} MB left, and this box holds {exact_mb:.0f} MB")
    return None


def has_to_go(held_mb: float, available_mb: float, total_mb: float, limits: Limits) -> bool:
    """The more a box holds, the sooner: so the one that holds most goes first, though no worker knows of another's.
    Whoever else fills the machine is left to the kernel, which takes boxes before workers (`launch.py`)."""
    floor_mb = HOST_SHARE * held_mb if limits.private_memory else HOST_FLOOR * total_mb
    return available_mb < floor_mb


def kernel_kills() -> int:
    """How many processes the kernel has ended since it started, for want of memory anywhere on this machine."""
    with suppress(OSError), open("/proc/vmstat") as facts:
        return next((int(line.split()[1]) for line in facts if line.startswith("oom_kill ")), 0)
    return 0
