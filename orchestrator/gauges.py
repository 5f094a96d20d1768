"""What the daemon tells of itself once a minute: that it lives, what ended, the best, the money, and what waits.

It looks on from outside the daemon's rounds and changes nothing. Each look also asks every queue how long it is: SQS
tells CloudWatch of a queue that nobody has touched for hours up to 15 minutes late, and the first worker would start so
much later.
"""

from __future__ import annotations

from collections import Counter

from lab.aws.telemetry import Telemetry
from lab.backend import Backend
from lab.clock import Clock, month_key
from lab.errors import AetherError
from lab.experiment import Scores
from orchestrator.champion import leader
from orchestrator.daemon import Daemon
from orchestrator.view import View

EVERY_S = 60.0
USD = 1_000_000


class Gauges:
    """See the module. `look` is called after each round."""

    def __init__(self, telemetry: Telemetry, backend: Backend, clock: Clock) -> None:
        self._telemetry, self._backend, self._clock = telemetry, backend, clock
        self._next = clock.monotonic()
        self._beats = 0
        self._ended: Counter[str] | None = None  # what had ended at the last look; none before the first
        self._waiting: dict[str, float] = {}  # experiment → since when, on our own clock
        self._best: tuple[str, Scores | None] = ("", None)

    def look(self, daemon: Daemon) -> None:
        now = self._clock.monotonic()
        if now < self._next or not daemon.beats:
            return
        self._next = now + EVERY_S
        self._alive(daemon, now)
        self._outcomes(daemon.view)
        self._leader(daemon.view)

    def wait(self, stage: str) -> None:
        """Nobody runs the lab, and nobody is to: what waits for a person's word, or for footage, is as alive as a
        daemon."""
        now = self._clock.monotonic()
        if now >= self._next:
            self._next = now + EVERY_S
            self._telemetry.tell({"DaemonHeartbeat": 1}, stage=stage, messages=self._messages())

    def _alive(self, daemon: Daemon, now: float) -> None:
        view = daemon.view
        waits = {e.id for e in view.live.values() if e.state == "queued" and e.reservation is not None}
        self._waiting = {id: self._waiting.get(id, now) for id in sorted(waits)}
        values: dict[str, float] = {"Backlog": len(waits),
                                    "QueueAgeS": max((now - since for since in self._waiting.values()), default=0.0)}
        if daemon.beats > self._beats:
            values["DaemonHeartbeat"] = daemon.beats - self._beats
        budget = view.budgets.get(month_key(self._clock.wall()))
        if budget is not None:
            values["SpentUsd"] = budget.spent / USD
        self._beats = daemon.beats
        self._telemetry.tell(values, stage=daemon.stage, running=len(view.running()), messages=self._messages())

    def _messages(self) -> dict[str, int | None]:
        """How many each queue has; None where it cannot be asked now."""
        found: dict[str, int | None] = {}
        for name, queue in self._backend.queues.items():
            try:
                found[name] = queue.waiting()
            except AetherError:
                found[name] = None
        return found

    def _outcomes(self, view: View) -> None:
        """A daemon that took over tells only what ended since."""
        before, self._ended = self._ended, Counter(view.outcomes)
        for verdict, count in sorted((self._ended - (before if before is not None else self._ended)).items()):
            self._telemetry.tell({"Experiments": count}, {"Verdict": verdict})

    def _leader(self, view: View) -> None:
        """The metrics that decide: objectives and goals."""
        ahead = leader(view)
        if ahead is None:
            return
        if ahead.id != self._best[0]:
            try:
                outcome = self._backend.ledger.experiment(ahead.id).outcome
            except AetherError:
                return
            self._best = (ahead.id, outcome.scores if outcome is not None else None)
        names = {one.metric for one in view.track.objectives} | {one.metric for one in view.goals}
        for name in sorted(names):
            value = self._best[1].mean.get(name) if self._best[1] is not None else None
            if value is not None:
                self._telemetry.tell({"BestSoFar": value}, {"Metric": name}, experiment=ahead.id)
