"""The reaper: a small parent around a phase that takes the whole family down with it.

It forks the work into a child and then does nothing but wait, so that it always answers. When the work ends, when it
is told to stop (SIGTERM), or when the worker that started it dies, it kills every descendant, including those that
started a session of their own or ignore SIGTERM, and leaves none. Descendants find no way out because the reaper is
their subreaper: an orphan becomes its child.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from types import FrameType

import psutil

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PR_SET_CHILD_SUBREAPER = 36
STOPPED = 128 + signal.SIGTERM


class _Stop(Exception):
    pass


def supervise(work: Callable[[], int], worker: int | None = None) -> int:
    """Runs `work` in a child and gives its exit code (128 + number for a signal).

    `worker` is the process whose death ends this one. The kernel sends that signal when the *thread* that started us
    ends, so whoever starts a phase does so from a thread that outlives it.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _stop)
    if worker is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != worker:  # it died before we asked to be told
            return STOPPED
    reaper = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # a stop between the fork and the `try` would be lost
    child = os.fork()
    if child == 0:
        _as_child(work, reaper, lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return _wait_for(child)
    except _Stop:
        return STOPPED
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _kill_children()


def _as_child(work: Callable[[], int], reaper: int, die_with_reaper: Callable[[], object]) -> None:
    """Runs in the fork, and never returns: the child must not walk on through its parent's code."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        die_with_reaper()
        code = work() if os.getppid() == reaper else STOPPED
    finally:
        os._exit(code)


def _wait_for(child: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _kill_children() -> None:
    """Kills direct children until none is left: the orphans of each round are the children of the next."""
    while True:
        for process in psutil.Process().children():
            process.kill()
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise _Stop
