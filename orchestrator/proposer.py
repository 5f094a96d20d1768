"""Proposing in a process of its own: the daemon asks, goes on with its work, and looks later for the answer.

The child (`python -m orchestrator.proposer`) reads one ask a line and writes one answer a line, so the daemon never
loads a search library, and a designer that crashes or hangs takes only itself down. The child ends when its standard
input does, so it cannot outlive a daemon that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Protocol

import msgspec

from lab.clock import Clock, SystemClock
from lab.errors import NotFound
from orchestrator.designers.protocol import Budget, Designer, History, Problem, Proposal

DESIGNERS = {  # loaded by name, so that control alone needs no search library
    "control": "orchestrator.designers.control:Control",
    "evolution": "orchestrator.designers.evolution:Evolution",
}
LIMIT_S = 60.0  # for one answer, the child's start included
PIPE_BYTES = 1 << 20  # an ask of 10,000 experiments fits in one write
CHUNK = 1 << 16


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """`seed` is the study's; each ask derives its own from it and from the history."""

    id: int
    designer: str
    problem: Problem
    history: History
    budget: Budget = Budget()
    count: int = 1
    seed: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The proposals, or in one line why there are none. No proposals and no error: the space is used up."""

    id: int
    designer: str = ""
    proposals: tuple[Proposal, ...] = ()
    error: str = ""


class Proposer(Protocol):
    """One ask at a time."""

    @property
    def busy(self) -> bool: ...

    def ask(self, ask: Ask) -> None:
        """Start; returns at once. Raises RuntimeError while another ask has no answer."""
        ...

    def poll(self) -> Answer | None:
        """The answer once it is there, once."""
        ...

    def close(self) -> None: ...


def load_designer(name: str, problem: Problem) -> Designer:
    if name not in DESIGNERS:
        raise NotFound(f"no designer {name!r}; there are {', '.join(DESIGNERS)}")
    module, kind = DESIGNERS[name].split(":")
    designer: Designer = getattr(import_module(module), kind)(problem)
    return designer


def answer(ask: Ask) -> Answer:
    """What the designer says; an error of the designer becomes the answer's."""
    try:
        designer = load_designer(ask.designer, ask.problem)
        proposals = tuple(designer.propose(ask.history, ask.budget, ask.count, ask.seed))
    except Exception as error:  # whatever a designer raises is an answer, never the end of the lab
        line = " ".join(f"{type(error).__name__}: {error}".split())
        return Answer(id=ask.id, designer=ask.designer, error=line[:500])
    return Answer(id=ask.id, designer=ask.designer, proposals=proposals)


class InlineProposer:
    """Answers in this process, at the poll: for the simulator and for tests."""

    def __init__(self) -> None:
        self._waiting: Ask | None = None

    @property
    def busy(self) -> bool:
        return self._waiting is not None

    def ask(self, ask: Ask) -> None:
        if self._waiting is not None:
            raise RuntimeError("the last ask has no answer yet")
        self._waiting = ask

    def poll(self) -> Answer | None:
        ask, self._waiting = self._waiting, None
        return answer(ask) if ask is not None else None

    def close(self) -> None:
        self._waiting = None


class ProposerProcess:
    """Keeps one child, started at the first ask and again after it died or was too slow."""

    def __init__(self, clock: Clock | None = None, limit_s: float = LIMIT_S) -> None:
        self._clock, self._limit_s = clock or SystemClock(), limit_s
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._waiting: Ask | None = None
        self._deadline = 0.0
        self._to_write, self._read = b"", b""

    @property
    def busy(self) -> bool:
        return self._waiting is not None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def ask(self, ask: Ask) -> None:
        if self._waiting is not None:
            raise RuntimeError("the last ask has no answer yet")
        if self._child is not None and self._child.poll() is not None:
            self._end()
        if self._child is None:
            self._start()
        self._waiting, self._deadline = ask, self._clock.monotonic() + self._limit_s
        self._to_write, self._read = msgspec.json.encode(ask) + b"\n", b""
        self._write()

    def poll(self) -> Answer | None:
        if self._waiting is None:
            return None
        self._write()
        ended = self._child is None or self._child.poll() is not None  # before the read, which then sees all it left
        line = self._line()
        if line is not None:
            self._waiting = None
            return msgspec.json.decode(line, type=Answer)
        if ended:
            return self._gave_up(f"the proposer ended without an answer: {self._last_words()}")
        if self._clock.monotonic() > self._deadline:
            return self._gave_up(f"{self._waiting.designer} gave no answer within {self._limit_s:g} s")
        return None

    def close(self) -> None:
        self._waiting = None
        self._end()

    def _gave_up(self, why: str) -> Answer:
        assert self._waiting is not None
        gone, self._waiting = self._waiting, None
        self._end()
        return Answer(id=gone.id, designer=gone.designer, error=why)

    def _start(self) -> None:
        root = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        # One thread, and a fixed hash: the same ask gives the same answer, and the machine stays the workers'.
        env = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1",
                            "OPENBLAS_NUM_THREADS": "1"}
        self._errors = TemporaryFile()  # noqa: SIM115 - it lives as long as the child
        self._child = subprocess.Popen([sys.executable, "-P", "-m", "orchestrator.proposer"], env=env, bufsize=0,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            with contextlib.suppress(OSError, AttributeError):  # only Linux has it; elsewhere polls write the rest
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def _write(self) -> None:
        """As much as the pipe takes now. A child that died is found by the poll."""
        if self._child is None or self._child.stdin is None:
            return
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._to_write:
                self._to_write = self._to_write[os.write(self._child.stdin.fileno(), self._to_write):]

    def _line(self) -> bytes | None:
        if self._child is None or self._child.stdout is None:
            return None
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._child.stdout.fileno(), CHUNK):
                self._read += piece
        line, newline, rest = self._read.partition(b"\n")
        if not newline:
            return None
        self._read = rest
        return line

    def _last_words(self) -> str:
        code = self._child.wait() if self._child else 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if self._errors is None:
            return how
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 4096))
        lines = self._errors.read().decode(errors="replace").split("\n")
        last = next((text.strip() for text in reversed(lines) if text.strip()), "")
        return f"{how}, {last[:300]}" if last else how

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        if self._errors is not None:
            self._errors.close()
            self._errors = None


def main() -> None:
    """The child: an ask a line in, an answer a line out, until there is no more to read."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to handle; it closes our input
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not look like an answer
    for line in sys.stdin.buffer:
        reply = msgspec.json.encode(answer(msgspec.json.decode(line, type=Ask))) + b"\n"
        while reply:
            reply = reply[os.write(output, reply):]


if __name__ == "__main__":
    main()
