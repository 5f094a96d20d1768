"""Running phases as plain processes: start one, look at it now and then, and learn how it ended.

A phase gets a session and a scratch folder of its own, an environment of its own, limits on memory, files and
time, and a reaper that leaves nothing running. Nothing here blocks: a state machine polls. What comes back is data from
a stranger: claims are parsed and capped, the log's end is kept, files are collected only if they are plain ones.
This is no sandbox: it holds programs that fail, not programs that attack. So it runs code of ours alone; what comes
from outside needs the boxes of `gpu_workers.sandbox`.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from gpu_workers.claims import ClaimReader
from gpu_workers.collect import NotCollected, folder_bytes, read_plain
from gpu_workers.family import family, family_mb, kill
from gpu_workers.phase import DISK_FULL, DONE, FAILURE_FILE, REFUSED, Failure, PhaseRequest
from lab.experiment import Reason

LOG_BYTES = 64 << 10
FILE_BYTES = 4 << 30  # the largest single file that a phase may write, and all that it may fill a disk with
FULL_BYTES = 1 << 20  # a disk with less than this left is full
OPEN_FILES = 1024
SCRATCH = ".scratch"
NO_BOX = "code from outside is run in a sandbox alone, and this machine has none: aether doctor says why"
LOOK_INTERVAL_S = 0.2  # between two looks at the memory of the whole family
STOP_GRACE_S = 2.0  # for the reaper to take its family down, before it is killed from outside


class PhaseEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a phase ended: `reason` is None if it is done. Seconds and memory are of the whole family; `seconds` is wall
    clock without `waited_s`, in which it waited for the machine. `peak_mb` is None if it ended before anyone
    looked: what the kernel counts of a process includes the memory of the one that started it."""

    reason: Reason | None
    detail: str
    seconds: float
    waited_s: float = 0.0
    cpu_s: float
    peak_mb: float | None
    log: str


class Running(Protocol):
    @property
    def waited_s(self) -> float:
        """How long it has waited for the machine so far. That counts against no limit: others were slow."""
        ...

    def poll(self) -> PhaseEnd | None:
        """How it ended, or None while it runs. Enforces the limits; to be called often."""
        ...

    def progress(self) -> list[dict[str, Any]]:
        """The claims since the last call."""
        ...

    def fetch_live(self, name: str) -> bool:
        """Brings the output that a phase replaces while it runs into the request's `out`, whole, and says whether it
        is another one than the last time. Raises NotCollected for one that is none, or too large."""
        ...

    def kill(self) -> None:
        """Ends the whole family before it returns; `poll` then tells an end with the reason `crash`."""
        ...


class Runner(Protocol):
    def start(self, request: PhaseRequest, limit_s: float, memory_mb: int) -> Running: ...


class ProcessRunner:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def start(self, request: PhaseRequest, limit_s: float, memory_mb: int) -> Running:
        """Starts the phase. The calling thread must outlive it: the kernel ends the phase with that thread."""
        if request.spec.code and not request.box_mb:
            return Ended("harness_fault", NO_BOX)
        out = Path(request.out)
        scratch = out / SCRATCH
        scratch.mkdir(parents=True, exist_ok=True)
        asked = scratch / "request.json"
        asked.write_bytes(msgspec.json.encode(request))
        process = subprocess.Popen(
            [sys.executable, "-m", "gpu_workers.phase", str(asked.resolve()), str(os.getpid())], cwd=scratch,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            env=_environment(scratch, request.threads), bufsize=0)
        _limit(process.pid, memory_mb)
        return _Process(process, out, self._clock, limit_s, memory_mb)


class Ended:
    """Implements `Running` for a phase that was never started."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self._end = PhaseEnd(reason=reason, detail=detail, seconds=0.0, cpu_s=0.0, peak_mb=0.0, log="")

    @property
    def waited_s(self) -> float:
        return 0.0

    def poll(self) -> PhaseEnd:
        return self._end

    def progress(self) -> list[dict[str, Any]]:
        return []

    def fetch_live(self, name: str) -> bool:
        return False

    def kill(self) -> None:
        pass


class _Process:
    def __init__(self, process: subprocess.Popen[bytes], out: Path, clock: Callable[[], float], limit_s: float,
                 memory_mb: int) -> None:
        self._process, self._out, self._clock = process, out, clock
        self._limit_s, self._memory_mb = limit_s, memory_mb
        self._started = clock()
        self._next_look = self._started + LOOK_INTERVAL_S  # before that it may not even have begun its own program
        self._peak_mb, self._log = 0.0, b""
        self._claims: list[dict[str, Any]] = []
        self._reader = ClaimReader()
        self._live = (0, 0)  # inode and time of the live output that was last seen
        self._waited_s = 0.0  # for the machine, until the last time that it got it
        self._waits_since: float | None = None
        self._verdict: Failure | None = None  # why we ended it, if we did
        self._end: PhaseEnd | None = None
        for pipe in (_pipe(process.stdout), _pipe(process.stderr)):
            os.set_blocking(pipe.fileno(), False)

    @property
    def waited_s(self) -> float:
        return self._waited_s + (self._clock() - self._waits_since if self._waits_since is not None else 0.0)

    def poll(self) -> PhaseEnd | None:
        if self._end is None:
            self._drain()
            self._enforce()
            if self._end is None:
                self._reap(os.WNOHANG)
        return self._end

    def progress(self) -> list[dict[str, Any]]:
        if self._end is None:
            self._drain()
        claims, self._claims = self._claims, []
        return claims

    def fetch_live(self, name: str) -> bool:
        """It lies there already, and a rename replaced it whole."""
        try:
            facts = os.lstat(self._out / name)
        except OSError:
            return False
        seen, self._live = self._live, (facts.st_ino, facts.st_mtime_ns)
        return self._live != seen

    def kill(self) -> None:
        self._finish_off(Failure(reason="crash", detail="stopped by the worker"))

    def _enforce(self) -> None:
        now = self._clock()
        overdue = self._overdue(now)
        if overdue is not None:
            self._finish_off(overdue)
        elif now >= self._next_look:
            self._next_look = now + LOOK_INTERVAL_S
            used_mb = family_mb(self._process.pid)
            self._peak_mb = max(self._peak_mb, used_mb)
            if used_mb > self._memory_mb:
                self._finish_off(Failure(reason="memory", detail=f"{used_mb:.0f} MB of {self._memory_mb} MB in use"))

    def _overdue(self, now: float) -> Failure | None:
        """Waiting for the machine is no slowness of its own. It may wait for as long as it may run, so that one that
        only says that it waits ends too."""
        waited_s = self.waited_s
        if waited_s > self._limit_s:
            return Failure(reason="harness_fault", detail=f"the machine was not free within {self._limit_s:g} s")
        if now - self._started - waited_s > self._limit_s:
            return Failure(reason="timeout", detail=f"still running after {self._limit_s:g} s")
        return None

    def _finish_off(self, why: Failure) -> None:
        """Ends the family: by its reaper, which leaves none; by the session, if the reaper does not answer."""
        if self._end is not None:
            return
        self._verdict = why
        members = family(self._process.pid)
        os.kill(self._process.pid, signal.SIGTERM)  # not reaped yet, so the number is still its own
        deadline = time.monotonic() + STOP_GRACE_S
        while self._end is None and time.monotonic() < deadline:
            self._reap(os.WNOHANG)
            time.sleep(0.002)
        if self._end is None:
            for member in members:
                kill(member)
            self._reap(0)

    def _reap(self, options: int) -> None:
        pid, status, usage = os.wait4(self._process.pid, options)
        if pid == 0:
            return
        code = self._process.returncode = os.waitstatus_to_exitcode(status)
        self._drain()
        self._waits(False)
        seconds = self._clock() - self._started - self._waited_s
        failure = self._verdict or self._disk_full(self._failure(code))
        self._end = PhaseEnd(
            reason=failure.reason if failure else None, detail=failure.detail if failure else "", seconds=seconds,
            waited_s=self._waited_s, cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mb=self._peak_mb or None, log=self._log.decode(errors="replace"))
        for pipe in (_pipe(self._process.stdout), _pipe(self._process.stderr)):
            pipe.close()
        shutil.rmtree(self._out / SCRATCH, ignore_errors=True)

    def _failure(self, code: int) -> Failure | None:
        if code == DONE:
            return None
        if code == REFUSED:
            return self._told_failure()
        if code == DISK_FULL:
            return Failure(reason="disk", detail=self._last_line() or "no space is left")
        if code > 128 or code < 0:
            number = -code if code < 0 else code - 128
            return Failure(reason="crash", detail=f"killed by signal {number} ({signal.strsignal(number) or '?'})")
        return Failure(reason="crash", detail=self._last_line() or f"exit code {code}")

    def _told_failure(self) -> Failure:
        try:
            told = msgspec.json.decode(read_plain(self._out, FAILURE_FILE, 4096), type=Failure)
        except (NotCollected, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Failure(reason="crash", detail="the phase said that it failed, and did not say why")
        return Failure(reason=told.reason, detail=told.detail[:1000])

    def _disk_full(self, failure: Failure | None) -> Failure | None:
        """However a phase fails on a disk of ours that is full, that is our fault, unless it was the one who filled
        it. A limit of its own on what it may write leaves the disk as it was."""
        free = shutil.disk_usage(self._out).free
        if failure is None or free >= FULL_BYTES or folder_bytes(self._out) > FILE_BYTES:
            return failure
        return Failure(reason="harness_fault", detail=f"the disk of {self._out} is full; free some space, and run it "
                                                      f"again with `aether reproduce` ({failure.detail[:200]})")

    def _last_line(self) -> str:
        lines = self._log.decode(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else ""

    def _drain(self) -> None:
        for claim in self._reader.feed(drained(_pipe(self._process.stdout).fileno())):
            if "waiting" in claim:
                self._waits(claim["waiting"] is True)
            else:
                self._claims.append(claim)
        self._log = (self._log + drained(_pipe(self._process.stderr).fileno()))[-LOG_BYTES:]

    def _waits(self, waits: bool) -> None:
        if waits and self._waits_since is None:
            self._waits_since = self._clock()
        elif not waits:
            self._waited_s, self._waits_since = self.waited_s, None


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # opened by `start`
    return pipe


def drained(pipe: int) -> bytes:
    """What a pipe that does not block holds now; at most 4 MiB, so that a flood cannot keep us here."""
    pieces: list[bytes] = []
    with suppress(BlockingIOError):
        while len(pieces) < 64 and (piece := os.read(pipe, 1 << 16)):
            pieces.append(piece)
    return b"".join(pieces)


def _environment(scratch: Path, threads: int) -> dict[str, str]:
    """Nothing of the worker's own: a phase sees no credentials and behaves alike everywhere. Only where torch keeps
    the backbones that it has fetched is passed on, since its home is not theirs."""
    ours = [entry for entry in sys.path if entry and os.path.isdir(entry) and not entry.startswith(sys.prefix)
            and not entry.startswith(sys.base_prefix)]
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(scratch.resolve()),
            "TMPDIR": str(scratch.resolve()), "LANG": "C.UTF-8", "TZ": "UTC", "OMP_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin for their turn make a busy machine seven times as slow
            "TORCH_HOME": os.environ.get("TORCH_HOME") or str(Path.home() / ".cache" / "torch"),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[1]), *ours])}


def _limit(pid: int, memory_mb: int) -> None:
    """Set from outside right after the start; everything that the phase starts inherits them."""
    data = memory_mb << 20
    for limit, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, OPEN_FILES),
                        (resource.RLIMIT_FSIZE, FILE_BYTES), (resource.RLIMIT_DATA, data)):
        resource.prlimit(pid, limit, (most, most))
