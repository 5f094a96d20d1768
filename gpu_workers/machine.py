"""The machine lock: a timed section has the machine to itself, everything else shares it.

`MachineLock` waits; a `Seat` never does, for whoever holds the machine in the name of a process that may not.

Two `flock`ed files. The lock itself is held shared or exclusive. Everybody passes the gate first, and a waiting
exclusive keeps it shut, so that new sharers queue behind it and it is never starved. The kernel frees both files
when their holder dies, however it dies. The lock is not re-entrant: who asks twice waits for itself.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def default_path() -> Path:
    """One lock a user and machine: in the session's run-time folder, else in the folder for temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = runtime if runtime and os.access(runtime, os.W_OK) else tempfile.gettempdir()
    return Path(folder) / f"aether-machine-{os.getuid()}.lock"


class MachineLock:
    """`on_wait` hears True before each wait, however short, and False after it."""

    def __init__(self, path: Path | None = None, on_wait: Callable[[bool], None] = lambda waiting: None) -> None:
        self.path = path or default_path()
        self._on_wait = on_wait

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Work that may run beside other work, but not beside a timed section."""
        self._on_wait(True)
        with _held(self._gate, fcntl.LOCK_EX):
            lock = _locked(self.path, fcntl.LOCK_SH)
        self._on_wait(False)
        try:
            yield
        finally:
            os.close(lock)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """A timed section: waits for all sharers to leave and lets no new one in."""
        self._on_wait(True)
        with _held(self._gate, fcntl.LOCK_EX), _held(self.path, fcntl.LOCK_EX):
            self._on_wait(False)
            yield

    @property
    def _gate(self) -> Path:
        return gate_of(self.path)


class Seat:
    """A share of the machine, or all of it, that is asked for again and again. Closing it gives it up."""

    def __init__(self, path: Path, alone: bool) -> None:
        self._path, self.alone = path, alone
        self._gate: int | None = None  # held while we are, or wait to be, alone
        self._lock: int | None = None

    def taken(self) -> bool:
        """Takes it if it is free, and says whether it is ours now."""
        if self._lock is None and self._gate is None:
            self._gate = _locked_now(gate_of(self._path), fcntl.LOCK_EX)
        if self._lock is None and self._gate is not None:
            self._lock = _locked_now(self._path, fcntl.LOCK_EX if self.alone else fcntl.LOCK_SH)
        if not self.alone:
            _let_go(self._gate)
            self._gate = None
        return self._lock is not None

    def wanted(self) -> bool:
        """Whether somebody waits at the gate who would have the machine alone. A passer-by can look like one."""
        gate = _locked_now(gate_of(self._path), fcntl.LOCK_EX)
        _let_go(gate)
        return gate is None

    def close(self) -> None:
        _let_go(self._lock)
        _let_go(self._gate)
        self._lock = self._gate = None


def gate_of(path: Path) -> Path:
    return path.with_name(path.name + ".gate")


@contextmanager
def _held(path: Path, how: int) -> Iterator[None]:
    descriptor = _locked(path, how)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked_now(path: Path, how: int) -> int | None:
    with suppress(BlockingIOError):
        return _locked(path, how | fcntl.LOCK_NB)
    return None


def _let_go(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _locked(path: Path, how: int) -> int:
    """An open descriptor that holds the lock; closing it lets go. No link is followed: the folder may be public."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
