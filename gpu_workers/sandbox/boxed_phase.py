"""A phase in a box, as the worker sees it: polled, never waited for.

Before it is released it waits for its seat on the machine, which we hold in its name: no lock is in its reach. A phase
that shares the machine is frozen while somebody's timed section has it alone, and that time is not counted. What
comes back is data from a stranger: claims are parsed and capped, the log's end is kept, and only declared files are
taken, when every process is dead, or from a frozen box.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import msgspec

from gpu_workers.checkpoint import LIVE_BYTES
from gpu_workers.claims import ClaimReader
from gpu_workers.collect import NotCollected, read_plain_at, take
from gpu_workers.machine import Seat, default_path
from gpu_workers.phase import ARTEFACTS, DISK_FULL, DONE, FAILURE_FILE, OWN_REASONS, REFUSED, Failure, PhaseRequest
from gpu_workers.runner import LOG_BYTES, PhaseEnd, drained
from gpu_workers.sandbox.binding import phase_plan
from gpu_workers.sandbox.box import Box
from gpu_workers.sandbox.limits import Limits
from gpu_workers.sandbox.plan import Devices
from gpu_workers.sandbox.watch import Watcher, kernel_kills

TURN_S = 1.0  # between two looks for a timed section that waits
UNSTOPPED = Failure(reason="crash", detail="its processes would not be stopped for a moment")
OUTPUT_BYTES = 2 << 30  # all outputs together


class BoxedPhase:
    """Implements `Running`. Raises SandboxFault if the box cannot be made."""

    def __init__(self, request: PhaseRequest, limits: Limits, clock: Callable[[], float],
                 devices: Devices = Devices()) -> None:  # noqa: B008  # frozen, and empty
        self._request, self._limits, self._clock = request, limits, clock
        self._reader, self._claims, self._log = ClaimReader(), list[dict[str, Any]](), b""
        self._live = (0, 0)  # inode and time of the live output that was last seen
        self._verdict: Failure | None = None  # why we ended it, if we did
        self._end: PhaseEnd | None = None
        self._progress, told = os.pipe()
        self._log_pipe, logged = os.pipe()
        try:
            plan = phase_plan(request, limits, told, devices)
            self._box = Box(plan, stdout=logged, stderr=logged, pass_fds=(told,))
        except BaseException:
            os.close(self._progress)
            os.close(self._log_pipe)
            raise
        finally:
            os.close(told)
            os.close(logged)
        for pipe in (self._progress, self._log_pipe):
            os.set_blocking(pipe, False)
        lock = Path(request.machine_lock) if request.machine_lock else default_path()
        self._kernel_kills = kernel_kills()
        self._turn = _Turn(Seat(lock, alone=request.timed), self._box, clock)
        self._watcher = Watcher(self._box)

    @property
    def waited_s(self) -> float:
        return self._turn.waited_s

    def poll(self) -> PhaseEnd | None:
        if self._end is None:
            self._drain()
            self._enforce()
            if self._end is None and self._box.poll():
                self._conclude()
        return self._end

    def progress(self) -> list[dict[str, Any]]:
        if self._end is None:
            self._drain()
        claims, self._claims = self._claims, []
        return claims

    def fetch_live(self, name: str) -> bool:
        """Copied by descriptor while every process of the box stands still, so that it is whole."""
        if self._end is not None or not self._changed(name):
            return False
        # One that stands aside is still already, and must not be sent on its way.
        with nullcontext(True) if self._turn.stands_aside else self._box.inside.frozen() as still:
            if not still:
                self._finish_off(UNSTOPPED)
                return False
            with suppress(OSError):  # a disk of ours that is full costs a checkpoint, and nobody's work
                take(self._box.inside.out, (name,), LIVE_BYTES, Path(self._request.out))
                return True
        return False

    def kill(self) -> None:
        self._finish_off(Failure(reason="crash", detail="stopped by the worker"))

    def _changed(self, name: str) -> bool:
        try:
            facts = os.stat(name, dir_fd=self._box.inside.out, follow_symlinks=False)
        except OSError:
            return False
        seen, self._live = self._live, (facts.st_ino, facts.st_mtime_ns)
        return self._live != seen

    def _enforce(self) -> None:
        if not self._turn.step():
            self._finish_off(UNSTOPPED)
        elif self._turn.waited_s > self._limits.limit_s:
            self._finish_off(Failure(reason="harness_fault",
                                     detail=f"the machine was not free within {self._limits.limit_s:g} s"))
        elif self._turn.ran_s > self._limits.limit_s:
            self._finish_off(Failure(reason="timeout", detail=f"still running after {self._limits.limit_s:g} s"))
        elif self._watcher.why is not None:
            self._finish_off(self._watcher.why)

    def _finish_off(self, why: Failure) -> None:
        if self._end is None:
            self._verdict = why
            self._box.kill()
            self._box.wait()
            self._conclude()

    def _conclude(self) -> None:
        self._turn.close()
        self._watcher.close()
        self._drain()
        failure = self._verdict or self._watcher.why or self._failure(self._box.exit_code) or self._taken()
        usage = self._box.usage
        assert usage is not None  # it has ended
        self._end = PhaseEnd(
            reason=failure.reason if failure else None, detail=failure.detail if failure else "",
            seconds=self._turn.ran_s, waited_s=self._turn.waited_s, cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mb=self._watcher.peak_mb or None, log=self._log.decode(errors="replace"))
        self._box.close()
        os.close(self._progress)
        os.close(self._log_pipe)

    def _failure(self, code: int | None) -> Failure | None:
        if code == DONE:
            return None
        if code is None:
            return Failure(reason="harness_fault", detail="the box was ended from outside")
        if code == REFUSED:
            return self._told_failure()
        if code == DISK_FULL:
            return Failure(reason="disk", detail=self._last_line() or "no space is left")
        if code == 128 + signal.SIGXCPU:
            return Failure(reason="timeout", detail="its processor time was used up")
        if code == 128 + signal.SIGKILL and kernel_kills() > self._kernel_kills:
            return Failure(reason="harness_fault", detail="the machine ran out of memory, and the kernel ended it")
        if code > 128:
            name = signal.strsignal(code - 128) or "?"
            return Failure(reason="crash", detail=f"killed by signal {code - 128} ({name})")
        return Failure(reason="crash", detail=self._last_line() or f"exit code {code}")

    def _told_failure(self) -> Failure:
        """What it says of its failure. Code from outside may blame itself, and for nothing that we alone can know."""
        try:
            told = msgspec.json.decode(read_plain_at(self._box.inside.out, FAILURE_FILE, 4096), type=Failure)
        except (NotCollected, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Failure(reason="crash", detail="the phase said that it failed, and did not say why")
        believed = told.reason in OWN_REASONS or (told.reason == "harness_fault" and not self._request.spec.code)
        return Failure(reason=told.reason if believed else "crash", detail=told.detail[:1000])

    def _taken(self) -> Failure | None:
        """Brings the declared outputs out, now that nothing in there runs."""
        out = self._box.inside.out
        more = (ARTEFACTS,) if ARTEFACTS.rstrip("/") in os.listdir(out) else ()
        try:
            take(out, (*self._request.outputs, *more), OUTPUT_BYTES, Path(self._request.out))
        except NotCollected as missing:
            return Failure(reason="bad_output", detail=str(missing))
        except OSError as error:
            return Failure(reason="harness_fault", detail=f"the outputs cannot be kept: {error}")
        return None

    def _last_line(self) -> str:
        lines = self._log.decode(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else ""

    def _drain(self) -> None:
        claims = self._reader.feed(drained(self._progress))
        self._claims += [claim for claim in claims if "waiting" not in claim]  # of a lock that only it knows
        self._log = (self._log + drained(self._log_pipe))[-LOG_BYTES:]


class _Turn:
    """When the box may run: released once its seat is taken, frozen while somebody else has the machine alone."""

    def __init__(self, seat: Seat, box: Box, clock: Callable[[], float]) -> None:
        self._seat, self._box, self._clock = seat, box, clock
        self._since = self._next = clock()
        self._released = self._runs = self._ended = False
        self._ran_s = self._waited_s = 0.0

    @property
    def waited_s(self) -> float:
        """How long it has waited in all."""
        return self._waited_s + (self._clock() - self._since if not (self._runs or self._ended) else 0.0)

    @property
    def ran_s(self) -> float:
        """How long it has run in all."""
        return self._ran_s + (self._clock() - self._since if self._runs else 0.0)

    @property
    def stands_aside(self) -> bool:
        """Whether it is frozen for somebody who has the machine alone."""
        return self._released and not (self._runs or self._ended)

    def step(self) -> bool:
        """False if the box would not stand aside."""
        if not self._runs:
            if self._seat.taken():
                self._go_on()
        elif not self._seat.alone and self._clock() >= self._next:
            self._next = self._clock() + TURN_S
            if self._seat.wanted():
                return self._stood_aside()
        return True

    def close(self) -> None:
        self._ran_s, self._waited_s = self.ran_s, self.waited_s
        self._runs, self._ended = False, True
        self._seat.close()

    def _go_on(self) -> None:
        if self._released:
            self._box.inside.thaw()
        else:
            self._box.release()
        self._waited_s = self.waited_s
        self._released = self._runs = True
        self._since, self._next = self._clock(), self._clock() + TURN_S

    def _stood_aside(self) -> bool:
        if not self._box.inside.freeze():
            return False
        self._ran_s, self._runs, self._since = self.ran_s, False, self._clock()
        self._seat.close()
        return True
