"""A decoder's process, plain or in a box: a few questions to both alike, answered by the kernel and never by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from gpu_workers.phase import Failure
from gpu_workers.sandbox.box import Box
from gpu_workers.sandbox.plan import Plan
from gpu_workers.sandbox.watch import Watcher

LINGER_S = 10.0  # for a boxed decoder to end once its frames are read
REST_S = 0.001


class Process(Protocol):
    process: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        """Processor time so far."""
        ...

    def high_water_mb(self) -> float:
        """Most resident memory so far, of all its processes."""
        ...

    def wait(self) -> tuple[int | None, float]:
        """Its exit code, None if it did not come to an end of its own, and all the processor time of the family."""
        ...

    def kill(self) -> None: ...

    def ended_by_us(self) -> Failure | None:
        """Why we ended it, if we did."""
        ...


class PlainProcess:
    def __init__(self, command: list[str], told: int) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        pass_fds=(told,))
        self._watch = psutil.Process(self.process.pid)

    def cpu_s(self) -> float:
        return process_cpu_s(self.process.pid)

    def high_water_mb(self) -> float:
        """Read while they live: what `wait4` tells of a fork includes the memory of its parent."""
        with suppress(psutil.NoSuchProcess):
            return sum(_high_water_kb(member.pid) for member in (self._watch, *self._watch.children())) / 1024
        return 0.0

    def wait(self) -> tuple[int, float]:
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode, usage.ru_utime + usage.ru_stime

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own

    def ended_by_us(self) -> None:
        return None


class BoxedProcess:
    """It reads and writes as the other does. A thread watches over its memory, and one that does not end is ended."""

    def __init__(self, plan: Plan, told: int) -> None:
        self._box = Box(plan, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(told,))
        self.process = self._box.process
        self._why: Failure | None = None
        self._watcher = Watcher(self._box)
        self._box.release()

    def cpu_s(self) -> float:
        """With its first process and those that made the box, which `wait` counts too."""
        makers = [self.process.pid, *_children(self.process.pid), self._box.first, self._box.main_process()]
        return sum(process_cpu_s(pid) for pid in dict.fromkeys(makers) if pid is not None)

    def high_water_mb(self) -> float:
        return self._box.inside.high_water_mb()

    def wait(self) -> tuple[int | None, float]:
        deadline = time.monotonic() + LINGER_S
        while not self._box.poll():
            if time.monotonic() > deadline:
                self._why = self._why or Failure(reason="timeout", detail="the decoder did not end after its frames")
                self.kill()
            time.sleep(REST_S)
        self._watcher.close()
        usage = self._box.usage
        assert usage is not None  # it has ended
        self._box.close()
        return self._box.exit_code, usage.ru_utime + usage.ru_stime

    def kill(self) -> None:
        self._box.kill()

    def ended_by_us(self) -> Failure | None:
        return self._watcher.why or self._why


def process_cpu_s(pid: int) -> float:
    """Processor time of a process to the microsecond: the clock of <linux/posix-timers.h>, CPUCLOCK_SCHED of a pid.
    /proc counts in ticks of 10 ms, as long as a whole short decode."""
    with suppress(OSError):
        return time.clock_gettime(~pid << 3 | 2)
    return 0.0


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _high_water_kb(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
