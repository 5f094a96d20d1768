"""Looking into a box from outside: its processes, by its own /proc, and its file systems, by descriptors.

A descriptor of /proc as the box has it lists the box's processes and no others, whoever their parents are; one of such
a process's folder is a handle on that very process, which no number that is used again can mislead. The descriptors of
file systems still read when every process is dead. All were opened before the first instruction of hostile code.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from gpu_workers.sandbox.limits import INODE_BYTES
from gpu_workers.sandbox.plan import OUT, SCRATCH, SHM

FREEZE_S = 3.0  # whoever has not stopped by then is not stopped any more, but ended


@dataclass(frozen=True)
class Usage:
    """What a box holds now."""

    resident_mb: float  # anonymous and shared pages of all its processes; what they share counts more than once
    files_mb: float
    inodes: int

    @property
    def total_mb(self) -> float:
        return self.resident_mb + self.files_mb + self.inodes * INODE_BYTES / (1 << 20)


class Inside:
    """Open handles on a box; `close` lets its file systems go."""

    def __init__(self, pid: int) -> None:
        """`pid` is the box's first process, with all its mounts standing."""
        root = f"/proc/{pid}/root"
        self._opened: list[int] = []
        self.proc, self.out, self._scratch, self._shm = (
            self._open(f"{root}{place}") for place in ("/proc", OUT, SCRATCH, SHM))
        self._fresh = sum(self._inodes(place) for place in (self.out, self._scratch, self._shm))

    def close(self) -> None:
        while self._opened:
            os.close(self._opened.pop())

    def members(self) -> list[int]:
        """The processes, by the numbers that they have in there."""
        # Opened afresh: two threads that list one descriptor share its place in the list, and each would miss some.
        # A process that was missed by a thaw stands still for ever.
        listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.proc)
        try:
            return [int(name) for name in os.listdir(listing) if name.isdigit()]
        finally:
            os.close(listing)

    def usage(self) -> Usage:
        resident_kb = sum(self._status_kb(member, ("RssAnon", "RssShmem")) for member in self.members())
        places = (self.out, self._scratch, self._shm)
        facts = [os.fstatvfs(place) for place in places]
        held = sum((fact.f_blocks - fact.f_bfree) * fact.f_frsize for fact in facts)
        return Usage(resident_kb / 1024, held / (1 << 20), sum(self._inodes(place) for place in places) - self._fresh)

    def exact_resident_mb(self) -> float:
        """As `Usage.resident_mb`, each shared page counted once. Slow: tens of milliseconds a gigabyte."""
        return sum(self._proportional_kb(member) for member in self.members()) / 1024

    def high_water_mb(self) -> float:
        return sum(self._status_kb(member, ("VmHWM",)) for member in self.members()) / 1024

    @contextmanager
    def frozen(self) -> Iterator[bool]:
        """Every process stopped, also those that wake each other; false if they would not."""
        try:
            yield self.freeze()
        finally:
            self.thaw()

    def freeze(self) -> bool:
        deadline, clean = time.monotonic() + FREEZE_S, 0
        while clean < 2:
            if time.monotonic() > deadline:
                return False
            running = [member for member in self.members() if not self._stopped(member)]
            for member in running:
                self._signal(member, signal.SIGSTOP)
            clean = 0 if running else clean + 1
        return True

    def thaw(self) -> None:
        for member in self.members():
            self._signal(member, signal.SIGCONT)

    def _open(self, place: str) -> int:
        self._opened.append(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        return self._opened[-1]

    def _inodes(self, place: int) -> int:
        facts = os.fstatvfs(place)
        return facts.f_files - facts.f_ffree

    def _signal(self, member: int, number: signal.Signals) -> None:
        with suppress(OSError):  # it ended meanwhile
            handle = os.open(str(member), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.proc)
            try:
                signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)

    def _stopped(self, member: int) -> bool:
        """All its threads: the first may stand while another still runs."""
        with suppress(OSError):
            tasks = os.open(f"{member}/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.proc)
            try:
                return all(self._state(tasks, task) in "TtZX" for task in os.listdir(tasks))
            finally:
                os.close(tasks)
        return True

    def _state(self, tasks: int, task: str) -> str:
        with suppress(OSError):
            return _read_at(tasks, f"{task}/stat").rpartition(")")[2].split()[0]
        return "X"

    def _status_kb(self, member: int, names: tuple[str, ...]) -> int:
        with suppress(OSError):
            return _sum_kb(_read_at(self.proc, f"{member}/status"), names)
        return 0

    def _proportional_kb(self, member: int) -> int:
        with suppress(OSError):
            return _sum_kb(_read_at(self.proc, f"{member}/smaps_rollup"), ("Pss_Anon", "Pss_Shmem"))
        return 0


def _sum_kb(text: str, names: tuple[str, ...]) -> int:
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return sum(int(value.split()[0]) for name, value in pairs if name in names)


def _read_at(folder: int, name: str) -> str:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode(errors="replace")
