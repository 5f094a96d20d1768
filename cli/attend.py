"""Attending a run: the children are looked after, what happens is shown, and Ctrl-C is heard, until the daemon leaves.

At a terminal one view is drawn anew twice a second; elsewhere, or for a machine, each experiment that ends is one line.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import typer
from rich.console import Console
from rich.live import Live

from cli import candidate
from cli.children import Child, disk_full
from cli.live import RunLine, live, plain
from cli.logtail import LogTail
from cli.output import console, emit
from cli.run import Plan
from cli.summary import conclude, show
from cli.supervisor import Supervisor
from cli.watch import Watch
from lab.backend import Backend
from lab.errors import Unavailable
from lab.settings import Settings

LOOK_S = 0.5
HAND_BACK_S = 2.0  # before the end of a run's minutes
INTERRUPTED = 130
WARNING_S = 30.0  # how long a warning is shown
UNBOXED = "NOT SANDBOXED"  # how the one begins that is always shown
NOT_IN_FORCE = "{} has changed; this run keeps its settings until `aether settings push`"
HANDING_BACK = "handing work back; Ctrl-C again ends at once"


class Screen(Protocol):
    """Where a run is shown."""

    def show(self, watch: Watch, ended: list[str], run: RunLine) -> None: ...


class Lively:
    def __init__(self, drawn: Live) -> None:
        self._drawn = drawn

    def show(self, watch: Watch, ended: list[str], run: RunLine) -> None:
        self._drawn.update(live(watch.status(time.time()), run), refresh=True)


class Lines:
    """For a log, on standard error when standard output is for a machine."""

    def __init__(self, errors: bool) -> None:
        self._errors, self._told = errors, set[str]()

    def show(self, watch: Watch, ended: list[str], run: RunLine) -> None:
        for id in ended:
            self._say(f"{run.elapsed_s:7.1f} s  {plain(watch.ended(watch.ledger.experiment(id)))}")
        for word in (run.ending, *run.notices):
            if word and word not in self._told:
                self._told.add(word)
                self._say(word)

    def _say(self, line: str) -> None:
        typer.echo(line, err=self._errors)


class Attendant:
    """What the loop knows between two looks."""

    def __init__(self, backend: Backend, plan: Plan, logs: Path) -> None:
        self.watch, self._plan = Watch(backend), plan
        self._began, self._proposed = time.monotonic(), len(self.watch.view.explored)
        self.ended_before = frozenset(self.watch.view.ended)
        self._logs, self._warning, self._warned = LogTail(logs), "", 0.0
        self._unboxed = ""  # what a worker said of its sandbox: that it has none
        self._old_stop = bool(self.watch.view.control.stop)  # said to an earlier run; our daemon takes it back

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def workers(self) -> int:
        """How many there should be: 0 once the time is almost over. They hand back what they have, and tell what it
        took, where the daemon would have to take it away and pay for the most that it may have taken."""
        limits = self.watch.settings.limits
        over = limits.minutes is not None and self.elapsed_s >= 60 * limits.minutes - HAND_BACK_S
        return 0 if over else limits.workers

    def look(self, screen: Screen, told: bool) -> None:
        """Take in what is new and show it. A ledger that cannot be read now is said, and read again later."""
        try:
            ended = self.watch.refresh()
            self._hear(self._logs.warnings())
            screen.show(self.watch, ended, self._run_line(told))
        except (Unavailable, OSError) as error:
            self._hear([str(error)])

    def _hear(self, warnings: list[str]) -> None:
        self._unboxed = next((one for one in reversed(warnings) if one.startswith(UNBOXED)), self._unboxed)
        if warnings:
            self._warning, self._warned = warnings[-1], time.monotonic()
        elif time.monotonic() - self._warned > WARNING_S:
            self._warning = ""

    def _run_line(self, told: bool) -> RunLine:
        watch, limits = self.watch, self.watch.settings.limits
        self._old_stop = self._old_stop and bool(watch.view.control.stop)
        ending = HANDING_BACK if told else "ending" if watch.view.control.stop and not self._old_stop else ""
        ended = sum(id in watch.view.ended for id in watch.view.explored[self._proposed:])
        notices = [notice for notice in (self._edited(), disk_full(self._logs.folder), self._unboxed,
                                      self._warning if self._warning != self._unboxed else "") if notice]
        return RunLine(elapsed_s=self.elapsed_s, minutes=limits.minutes, experiments=limits.experiments, done=ended,
                       ending=ending, notices=tuple(notices))

    def _edited(self) -> str:
        """A word about a settings file that says neither what it said at the start nor what is in force."""
        try:
            text = self._plan.file.read_text() if self._plan.file else self._plan.read
        except (OSError, UnicodeDecodeError):
            return ""
        pushed = self.watch.ledger.office.settings(self.watch.view.control.settings)
        known = (self._plan.read, pushed.text if pushed else "")
        return "" if text in known else NOT_IN_FORCE.format(self._plan.file)


def attend(backend: Backend, settings: Settings, plan: Plan, fingerprint: str = "") -> int:
    """Run to the end; gives the exit code. A second Ctrl-C kills everything at once. The experiment with that
    `fingerprint`, a person's own, is shown with the result."""
    assert backend.workplace is not None
    logs, out = backend.workplace / "logs", console()
    attendant = Attendant(backend, plan, logs)
    supervisor = Supervisor(Child, backend.address, logs, settings.limits.workers, plan.seed,
                            lambda pid: _holds(backend, pid))
    try:
        with interrupts() as told, _screen(out, plan.json) as screen:
            while not supervisor.over:
                supervisor.want(attendant.workers)
                supervisor.poll()
                if told:
                    supervisor.stop()
                attendant.look(screen, bool(told))
                time.sleep(LOOK_S)
            supervisor.close()
            attendant.look(screen, bool(told))
    except KeyboardInterrupt:
        supervisor.kill()
        typer.echo("ended at once; `aether run` carries on where it stopped", err=True)
        return INTERRUPTED
    return _end(out, attendant, supervisor, plan, fingerprint)


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Collects the first SIGINT or SIGTERM; the second raises KeyboardInterrupt."""
    told: list[int] = []

    def hear(number: int, _: object) -> None:
        if told:
            raise KeyboardInterrupt
        told.append(number)
    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _screen(out: Console, json: bool) -> Iterator[Screen]:
    if json or not out.is_terminal:
        yield Lines(errors=json)
        return
    with Live(console=out, auto_refresh=False, transient=True, vertical_overflow="crop") as drawn:
        yield Lively(drawn)


def _holds(backend: Backend, pid: int) -> bool:
    lease = backend.ledger.office.lease()
    return lease is not None and bool(lease.holder) and lease.pid == pid


def _end(out: Console, attendant: Attendant, supervisor: Supervisor, plan: Plan, fingerprint: str) -> int:
    """The result, also of a run that failed half-way; then the failure, as one line."""
    watch = attendant.watch
    own = candidate.found(watch.backend, fingerprint) if fingerprint else None
    found = conclude(watch, supervisor.why, attendant.elapsed_s, attendant.ended_before, own)
    if plan.json:
        emit(found)
    elif found.why or found.experiments:
        show(out, watch, found)
        candidate.show(out, watch, found.candidate)
    if supervisor.failure:
        typer.echo(f"error: {supervisor.failure}", err=True)
    if not supervisor.code and fingerprint:
        return candidate.say_unless_evaluated(own)
    return supervisor.code
