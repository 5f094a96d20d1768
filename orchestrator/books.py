"""The daemon's bookkeeping: money is reserved before it can be spent, and each reservation settled once.

What an attempt may cost at most is taken when it is dispatched; what it used is booked when it ended, or when it is
known that it never began. The orchestrator itself is paid by the hour, ahead.
"""

from __future__ import annotations

from typing import Any

import structlog

from lab.clock import Clock, month_key
from lab.errors import OverBudget, Refused, Stale
from lab.experiment import Experiment
from lab.ledger import Ledger
from lab.money import Level, cost_of, price_of, to_micro
from lab.settings import Settings
from orchestrator.budgeting import expected, overhead_cost, upper_bound_s, used_s, worst_level
from orchestrator.view import View

HOUR_S = 3600.0

log = structlog.get_logger("books")


class Books:
    """See the module. `starved` is true while a reservation does not fit."""

    def __init__(self, ledger: Ledger, clock: Clock, epoch: int, run: int) -> None:
        self._ledger, self._clock, self._epoch, self._run = ledger, clock, epoch, run
        self._overhead: tuple[str, float] | None = None  # its reservation, and when it was taken
        self._overheads = 0
        self.starved = False

    # ------------------------------------------------------------------ attempts

    def reserve(self, experiment: Experiment, view: View, settings: Settings) -> bool:
        """Take the upper bound of the next attempt; false if it does not fit."""
        price, terms = price_of(settings.prices.by_class(), experiment.spec.job_class), settings.limits.terms()
        amount = cost_of(upper_bound_s(view.track, experiment, terms), price)
        try:
            self._ledger.reserve(experiment.id, amount, self._opened(view, settings), price_usd_h=price, terms=terms,
                                 epoch=self._epoch, op_id=f"reserve.{experiment.id}.{experiment.reservations + 1}")
        except OverBudget as error:
            if not self.starved:
                log.warning("the budget says no", experiment=experiment.id, why=str(error))
            self.starved = True
            return False
        self.starved = False
        return True

    def settle_ended(self, view: View, settings: Settings) -> None:
        """Book what ended attempts used, and free what was reserved for experiments that will not run."""
        for key, reservation in list(view.unsettled.items()):
            if reservation.what != "attempt":
                continue
            if key in view.used:
                id, attempt = view.used[key]
                beat = self._ledger.beat_of(id, attempt.fence)
                seconds = used_s(attempt, id in view.cancelled, beat.used_s if beat else 0.0, settings)
                self._settle(view, key, cost_of(seconds, reservation.price_usd_h), seconds)
            elif reservation.experiment in view.ended:
                self._settle(view, key, 0, 0.0)

    def free_waiting(self, view: View) -> None:
        """The run ends: what waits keeps its place in the queue, and its money goes back."""
        for experiment in list(view.live.values()):
            if experiment.state == "queued" and experiment.reservation in view.unsettled:
                try:
                    self._settle(view, experiment.reservation or "", 0, 0.0)
                except Stale:
                    raise
                except Refused:  # a worker claimed it a moment ago; it will end like the others
                    continue

    # ------------------------------------------------------------------ the house itself

    def pay_overhead(self, view: View, settings: Settings) -> None:
        """An hour of the orchestrator, reserved ahead. The hour has one key until it is known to be ours, so that a
        lost reply is asked for again and not taken for another's."""
        if self._overhead is not None and self._clock.monotonic() - self._overhead[1] < HOUR_S:
            return
        self.settle_overhead(view, settings)
        key, price = f"overhead.{self._epoch}.{self._overheads + 1}", settings.prices.overhead_usd_h
        self._settle_left_open(view, settings, key)
        try:
            self._ledger.accounts.reserve_overhead(key, overhead_cost(settings, HOUR_S), self._opened(view, settings),
                                                   price_usd_h=price, epoch=self._epoch, op_id=f"reserve.{key}")
        except OverBudget:
            self.starved = True
            return
        self._overheads += 1
        self._overhead = (key, self._clock.monotonic())

    def paid(self) -> dict[str, Any]:
        """What a heartbeat tells of the hour that is paid, for whoever has to settle it if we die."""
        if self._overhead is None:
            return {}
        return {"overhead": self._overhead[0], "overhead_s": self._clock.monotonic() - self._overhead[1]}

    def settle_overhead(self, view: View, settings: Settings) -> None:
        """Book the part of the hour that was used."""
        if self._overhead is None:
            return
        key, since = self._overhead
        seconds = min(self._clock.monotonic() - since, HOUR_S)
        self._settle(view, key, overhead_cost(settings, seconds), seconds)
        self._overhead = None

    def _settle_left_open(self, view: View, settings: Settings, own: str) -> None:
        """Of the hours of daemons that died: up to their last sign, and a lease that ran out."""
        for key, reservation in list(view.unsettled.items()):
            if reservation.what == "overhead" and key != own:
                seconds = min(self._lived_s(key) + settings.limits.lease_s + settings.limits.grace_s, HOUR_S)
                self._settle(view, key, cost_of(seconds, reservation.price_usd_h), seconds)

    def _lived_s(self, key: str) -> float:
        """How far into the hour of this reservation its daemon said that it was."""
        sign = self._ledger.office.daemon_sign(int(key.split(".")[1]))
        told = sign.progress if sign else {}
        return float(told["overhead_s"]) if told.get("overhead") == key else 0.0

    def level(self, view: View, settings: Settings) -> Level:
        """The worst level of the budgets in force, from what is spent and what running work will probably cost."""
        reserved = sum(r.amount for r in view.unsettled.values() if r.what == "attempt")
        budgets = [view.budgets[id] for id in self._in_force(settings) if id in view.budgets]
        return worst_level(budgets, expected(view.running(), view.recent_costs, reserved))

    def _settle(self, view: View, key: str, amount: int, seconds: float) -> None:
        self._ledger.accounts.settle(key, amount, used_s=seconds, epoch=self._epoch, op_id=f"settle.{key}")
        view.unsettled.pop(key, None)  # the change says so too, a round later
        self.starved = False

    def _in_force(self, settings: Settings) -> tuple[str, ...]:
        month = month_key(self._clock.wall())
        return (month, f"run-{self._run}") if settings.budget.run_usd is not None else (month,)

    def _opened(self, view: View, settings: Settings) -> tuple[str, ...]:
        """This month's budget and this run's, opened with their caps where they are new."""
        month = month_key(self._clock.wall())
        for id in self._in_force(settings):
            if id not in view.budgets and self._ledger.accounts.balance(id) is None:
                cap = settings.budget.monthly_usd if id == month else settings.budget.run_usd or 0.0
                self._ledger.accounts.set_cap(id, to_micro(cap), op_id=f"open.{id}")
        return self._in_force(settings)
