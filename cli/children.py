"""Child processes of `aether run`: started in sessions of their own, bound to their parent's life, logged to files.

Ctrl-C in the terminal reaches the parent alone, which decides. A parent that is killed takes its children with it: each
asks the kernel for SIGTERM at its parent's death, and so hands its work back.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
LOG_BYTES = 16 << 20  # a log that is longer is put aside when its process starts
TAIL_BYTES = 4096
LEAST_FREE_BYTES = 1 << 20


class Child:
    """One `aether` process. `words` are its command line; what it logs is appended to `log`."""

    def __init__(self, words: list[str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        _put_aside(log)
        self.log, self._from = log, log.stat().st_size if log.exists() else 0
        self.started = time.monotonic()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cli.main", *words, "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def lived_s(self) -> float:
        return time.monotonic() - self.started

    def terminate(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """It and its whole session; for when it does not hear."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within that time."""
        try:
            self._process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def said(self) -> str:
        """The last line of its output, once it has ended."""
        assert self._process.stdout is not None
        lines = self._process.stdout.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")

    def last_words(self) -> str:
        """The error that it ended with, else the last line of its log; a full disk lets nobody write one."""
        if disk := disk_full(self.log.parent):
            return disk
        with self.log.open("rb") as log:
            log.seek(max(self._from, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return (errors or lines or ["it said nothing"])[-1]


def die_with(parent: int) -> None:
    """Ask for SIGTERM when the parent ends; leave at once if it has ended already. Zero: there is none."""
    if not parent:
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGTERM)


def disk_full(folder: Path) -> str:
    """What to do about it, where there is no room left; empty where there is."""
    if shutil.disk_usage(folder).free >= LEAST_FREE_BYTES:
        return ""
    return f"the disk of {folder} is full; free some space, no finished work is lost"


def _put_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
