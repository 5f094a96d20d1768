"""Reports: one for each hour that ended and one at the end, whatever clocks do and however often they are asked for.

The key is the hour, and the ledger takes a key once; so a clock that jumps, a daemon that is killed and a lost reply
make no second report. Composing is the reporter's work, in a process of its own; delivering is the mailbox's.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from agents.words import moment
from lab.backend import Backend
from lab.clock import Clock, hour_key
from lab.errors import Unavailable
from orchestrator.view import View

log = structlog.get_logger("post")


class Reporter(Protocol):
    """Composes the report of a period and posts it into the outbox under `key`, beside the daemon."""

    def start(self, key: str, why: str) -> None: ...

    @property
    def busy(self) -> bool: ...


class Post:
    def __init__(self, backend: Backend, reporter: Reporter, clock: Clock) -> None:
        self._backend, self._reporter, self._clock = backend, reporter, clock
        self._hour = hour_key(clock.wall())
        self._due: dict[str, str] = {}  # key → what it is about
        self._undelivered: set[str] = set()  # told once each
        self._next_try = 0.0

    @property
    def idle(self) -> bool:
        """Nothing is due or being composed."""
        return not self._due and not self._reporter.busy

    def hour(self) -> None:
        """Ask for the hour that ended, once the clock shows another."""
        hour = hour_key(self._clock.wall())
        if hour != self._hour:
            self._due[self._hour], self._hour = "hourly", hour

    def was_down(self, since: float) -> None:
        """Nobody lived here since `since` (wall clock). If that was in another hour, its report was never sent: it is
        sent now, for all the hours that are missing, and says so."""
        if hour_key(since) != self._hour:
            self._due[hour_key(since)] = f"hourly; no daemon ran from {moment(since)} to {moment(self._clock.wall())}"

    def ask(self, key: str, why: str) -> None:
        self._due[key] = why

    def work(self, view: View) -> None:
        """Start one report that is due; deliver those that wait. A reporter that failed is asked again, unhurriedly."""
        self._due = {key: why for key, why in self._due.items() if key not in view.reports}
        if self._due and not self._reporter.busy and self._clock.monotonic() >= self._next_try:
            key = next(iter(self._due))
            self._reporter.start(key, self._due[key])
            self._next_try = self._clock.monotonic() + 5.0
        for key, report in list(view.waiting_reports.items()):
            try:
                self._backend.mailbox.deliver(report)
            except Unavailable as error:  # it stays in the outbox; the lab does not wait for the mail
                if key not in self._undelivered:
                    log.warning("a report cannot be delivered now", key=key, why=str(error))
                self._undelivered.add(key)
                continue
            self._backend.ledger.office.delivered(key, op_id=f"delivered.{key}")
            view.waiting_reports.pop(key, None)
