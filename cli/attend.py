"""Attending a run: the children are looked after, what happens is shown, and Ctrl-C is heard, until the daemon leaves.

At a terminal one view is drawn anew twice a second; elsewhere, or for a machine, each experiment that ends is one line.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer
from rich.console import Console
from rich.live import Live

from cli.children import Child
from cli.live import RunLine, live, plain
from cli.output import console, emit
from cli.run import Plan
from cli.summary import conclude, show
from cli.supervisor import Supervisor
from cli.watch import Watch
from lab.backend import Backend
from lab.settings import Settings

LOOK_S = 0.5
INTERRUPTED = 130
NOTICE = "{} has changed; this run keeps its settings until `aether settings push`"


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
        for word in (run.ending, run.notice):
            if word and word not in self._told:
                self._told.add(word)
                self._say(word)

    def _say(self, line: str) -> None:
        typer.echo(line, err=self._errors)


def attend(backend: Backend, settings: Settings, plan: Plan) -> int:
    """Run to the end; gives the exit code. A second Ctrl-C kills everything at once."""
    watch, out = Watch(backend), console()
    began, from_count = time.monotonic(), len(watch.view.explored)
    assert backend.folder is not None
    supervisor = Supervisor(Child, backend.address, backend.folder / "logs", settings.limits.workers, plan.seed,
                            lambda pid: _holds(backend, pid))
    try:
        with interrupts() as told, _screen(out, plan.json) as screen:
            while not supervisor.over:
                supervisor.poll()
                if told:
                    supervisor.stop()
                run = _run_line(watch, plan, time.monotonic() - began, from_count, bool(told))
                screen.show(watch, watch.refresh(), run)
                time.sleep(LOOK_S)
            supervisor.close()
            screen.show(watch, watch.refresh(), _run_line(watch, plan, time.monotonic() - began, from_count, False))
    except KeyboardInterrupt:
        supervisor.kill()
        typer.echo("ended at once; `aether run` carries on where it stopped", err=True)
        return INTERRUPTED
    return _end(out, watch, supervisor, plan, time.monotonic() - began, from_count)


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


def _run_line(watch: Watch, plan: Plan, elapsed_s: float, from_count: int, told: bool) -> RunLine:
    limits, stop = watch.settings.limits, watch.view.control.stop
    ending = "handing work back; Ctrl-C again ends at once" if told else "ending" if stop else ""
    ended = sum(id in watch.view.ended for id in watch.view.explored[from_count:])
    return RunLine(elapsed_s=elapsed_s, minutes=limits.minutes, experiments=limits.experiments, done=ended,
                   ending=ending, notice=NOTICE.format(plan.file) if _edited(plan) else "")


def _edited(plan: Plan) -> bool:
    """Whether the settings file no longer says what was read at the start."""
    try:
        return plan.file is not None and plan.file.read_text() != plan.read
    except (OSError, UnicodeDecodeError):
        return False


def _holds(backend: Backend, pid: int) -> bool:
    lease = backend.ledger.office.lease()
    return lease is not None and bool(lease.holder) and lease.pid == pid


def _end(out: Console, watch: Watch, supervisor: Supervisor, plan: Plan, elapsed_s: float, from_count: int) -> int:
    """The result, also of a run that failed half-way; then the failure, as one line."""
    found = conclude(watch, supervisor.why, elapsed_s, from_count)
    if plan.json:
        emit(found)
    elif found.experiments:
        show(out, watch, found)
    if supervisor.failure:
        typer.echo(f"error: {supervisor.failure}", err=True)
    return supervisor.code
