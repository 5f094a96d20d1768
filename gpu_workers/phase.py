"""The phase process: `python -m gpu_workers.phase REQUEST.json` runs one function of a track on its own.

The request says what the function sees; a `Box` hands it over. What it prints goes to the log; progress lines
(JSON) alone leave through the standard output. Exit codes: 0 done, 3 a known failure that `failure.json` tells
(a refusal, memory, a full disk), 4 a disk so full that nothing could be told, 1 a crash with its traceback on stderr.
No child outlives it (see `reaper`).
"""

from __future__ import annotations

import errno
import importlib
import io
import math
import os
import select
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from gpu_workers.machine import MachineLock
from gpu_workers.reaper import supervise
from lab.experiment import Reason, Spec

PROGRESS_LINE_BYTES = 2048
PROGRESS_INTERVAL_S = 1 / 20
FAILURE_FILE = "failure.json"
ARTEFACTS = "artefacts/"  # a folder in which any phase may leave what later readers need
DONE, CRASHED, REFUSED, DISK_FULL = 0, 1, 3, 4
# What a phase may say of itself. Of the others we alone can know, and code from outside may not blame us.
OWN_REASONS = frozenset[Reason](("crash", "memory", "disk", "diverged", "refused", "bad_output"))


class BoundClip(msgspec.Struct, frozen=True, kw_only=True):
    """A clip as a phase sees it: where it lies on this machine, and what is known of it."""

    name: str
    hash: str
    role: str
    path: str
    facts: dict[str, Any] = {}


class PhaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """All that one phase gets. `inputs` are named as the phase declared them; one ending in `/` is a folder."""

    entry: str  # "module:function"
    spec: Spec
    out: str  # an existing, empty folder
    clips: tuple[BoundClip, ...] = ()
    inputs: dict[str, str] = {}
    threads: int = 1
    timed: bool = False  # its speed is told too, so it has the machine to itself
    machine_lock: str | None = None
    checkpoint_s: float = 30.0  # between two checkpoints of a phase that has some
    trusted: bool = False  # code of ours; any other runs in a sandbox where there is one
    outputs: tuple[str, ...] = ()  # what is taken out of a sandbox, as the phase declared it
    box_mb: int = 0  # memory of each sandbox in which a trusted phase runs what nobody trusts; 0 where there is none


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What `failure.json` holds."""

    reason: Reason
    detail: str = ""


class Refuse(Exception):
    """Raised by a phase's function to end as failed, with one of the closed list of reasons."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.failure = Failure(reason=reason, detail=detail)


@dataclass
class ProgressLines:
    """Claims as JSON lines, at most 20 a second: a claim that comes sooner waits, and the newest one wins."""

    sink: BinaryIO
    clock: Callable[[], float] = time.monotonic
    _next: float = 0.0
    _held: bytes | None = field(default=None)

    def __call__(self, **claims: Any) -> None:
        line = msgspec.json.encode({name: _finite(value) for name, value in claims.items()}) + b"\n"
        if len(line) > PROGRESS_LINE_BYTES:
            raise ValueError(f"a progress line may have {PROGRESS_LINE_BYTES} bytes, this one has {len(line)}")
        self._held = line
        if self.clock() >= self._next:
            self.flush()

    def waiting(self, waits: bool) -> None:
        """Told at once: nothing else is said while we wait for the machine, and waiting is no fault of the phase."""
        self(waiting=waits)
        self.flush()

    def flush(self) -> None:
        if self._held is not None:
            self.sink.write(self._held)
            self.sink.flush()
            self._held, self._next = None, self.clock() + PROGRESS_INTERVAL_S


@dataclass(frozen=True)
class Box:
    """What a phase's function is given. It writes its declared outputs under `out`, and nothing anywhere else."""

    spec: Spec
    clips: tuple[BoundClip, ...]
    inputs: dict[str, Path]
    out: Path
    threads: int
    timed: bool
    machine: MachineLock
    checkpoint_s: float
    progress: Callable[..., None]
    box_mb: int = 0


def run_phase_file(path: Path, sink: BinaryIO | None = None) -> int:
    """Runs the request in this process and gives the exit code. Progress lines go to `sink`."""
    request = msgspec.json.decode(path.read_bytes(), type=PhaseRequest)
    lines = ProgressLines(sink if sink is not None else io.BytesIO())
    try:
        _entry(request.entry)(_box(request, lines))
    except Exception as error:
        failure = _known(error)
        if failure is None:
            traceback.print_exc()
            return CRASHED
        return _tell(Path(request.out, FAILURE_FILE), failure)
    finally:
        lines.flush()
    return DONE


def _box(request: PhaseRequest, lines: ProgressLines) -> Box:
    lock = MachineLock(Path(request.machine_lock) if request.machine_lock else None, lines.waiting)
    inputs = {name: Path(path) for name, path in request.inputs.items()}
    return Box(request.spec, request.clips, inputs, Path(request.out), request.threads, request.timed, lock,
               request.checkpoint_s, lines, request.box_mb)


def _entry(name: str) -> Callable[[Box], None]:
    module, _, function = name.partition(":")
    found: Callable[[Box], None] = getattr(importlib.import_module(module), function)
    return found


def _known(error: Exception) -> Failure | None:
    """The failure that an exception stands for, or None for a crash."""
    if isinstance(error, Refuse):
        return error.failure
    if isinstance(error, MemoryError):
        return Failure(reason="memory", detail=str(error) or "out of memory")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Failure(reason="disk", detail=str(error))
    return None


def _tell(path: Path, failure: Failure) -> int:
    try:
        path.write_bytes(msgspec.json.encode(failure))
    except OSError as error:
        print(f"{failure.detail}; {error}", file=sys.stderr)
        return DISK_FULL
    return REFUSED


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: list[str]) -> int:
    """`REQUEST.json [PID of the worker, whose death ends the phase]`."""
    progress = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # from here on a stray print is log, not progress
    path, worker = Path(arguments[0]), int(arguments[1]) if len(arguments) > 1 else None
    return supervise(lambda: _flushed(run_phase_file(path, progress)), worker)


def in_box(request: str, progress: int) -> int:
    """As `main`, for a sandbox, which needs no reaper: its walls end all that is in them."""
    if _nobody_reads(progress):  # whoever made the box died before it was finished
        return CRASHED
    return _flushed(run_phase_file(Path(request), os.fdopen(progress, "wb")))


def _nobody_reads(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)
    return bool(poll.poll(0))


def _flushed(code: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":  # as itself: phases raise `gpu_workers.phase.Refuse`, which is not `__main__.Refuse`
    sys.exit(importlib.import_module("gpu_workers.phase").main(sys.argv[1:]))
