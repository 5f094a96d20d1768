"""The daemon's bookkeeping: money is reserved before it can be spent, and each reservation settled once.

What an attempt may cost at most is taken when it is dispatched; what it used is booked when it ended, or when it is
known that it never began. The house (the orchestrator, what is stored, machines without work) is paid by the hour,
ahead, and anew when more machines come; it arises whether or not it is free, and is booked also where it was not. On an
account the market tells what machines cost; elsewhere the settings do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from lab.clock import Clock, month_key
from lab.control import Beat, Counted
from lab.errors import OverBudget, Refused, Stale
from lab.experiment import Attempt, Experiment
from lab.ledger import Ledger
from lab.market import House, Market
from lab.money import Level, Microusd, Reservation, cost_of, expected_cost, price_of, to_micro, worst_level
from lab.settings import Settings
from orchestrator.budgeting import upper_bound_s, used_s
from orchestrator.meter import Meter, Tab
from orchestrator.view import View

HOUR_S, DAY_S = 3600.0, 86400.0
REQUESTS_USD = 0.05  # that an hour of the house, or an attempt, bears of requests to the account
LIVED_S = 600.0  # before the account's bill is asked for: a daemon that keeps dying would pay for each asking

log = structlog.get_logger("books")


def open_op(id: str) -> str:
    """Under which a daemon opens a budget, with the cap of the settings."""
    return f"open.{id}"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon's heartbeat said of the hour that it paid, as `Books.paid` gives it."""

    overhead: str = ""
    overhead_s: Counted = 0.0
    overhead_microusd: Counted | None = None


@dataclass
class Hour:
    """The house's, as it is paid: its reservation, whether that was free, when it began, the rate and the requests that
    it bears, and what it has used. `over` it stays, though the reply of its settlement is lost."""

    key: str
    taken: bool
    since: float
    bound_usd_h: float
    bears: Microusd
    meter: Meter
    over: bool = False

    def lasts(self, now: float, house: House) -> bool:
        enough = house.bound_usd_h <= self.bound_usd_h and self.meter.of_requests <= self.bears
        return enough and now - self.since < HOUR_S


class Books:
    """See the module. `starved` is true while a reservation does not fit."""

    def __init__(self, ledger: Ledger, clock: Clock, epoch: int, run: int, market: Market | None,
                 tab: Tab) -> None:
        self._ledger, self._clock, self._epoch, self._run = ledger, clock, epoch, run
        self._market, self._tab = market, tab
        self._trouble: tuple[str, ...] = ()  # that was said
        self._began = clock.monotonic()
        self._billed_at: float | None = None  # when the account's bill was last asked for, as far as we have looked
        self._hour: Hour | None = None
        self._hours = 0
        self.starved = False

    # ------------------------------------------------------------------ attempts

    def reserve(self, experiment: Experiment, view: View, settings: Settings) -> bool:
        """Take the upper bound of the next attempt; false if it does not fit."""
        price, terms = self._bound_usd_h(experiment.spec.job_class, settings), settings.limits.terms()
        amount = cost_of(upper_bound_s(view.track, experiment, terms), price) + self._bears()
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
                price = self._usd_h(attempt, reservation)
                amount = cost_of(seconds, price) + self._of_requests(beat)
                self._settle(view, key, amount, seconds, price)
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

    def _bound_usd_h(self, job_class: str, settings: Settings) -> float:
        if self._market is not None:
            return self._market.bound_usd_h(job_class)
        return price_of(settings.prices.by_class(), job_class)

    def _usd_h(self, attempt: Attempt, reservation: Reservation) -> float:
        """What an hour of the very machine costs; what was reserved, where that is not known."""
        known = self._market.usd_h(attempt.machine) if self._market is not None and attempt.machine else None
        return known or reservation.price_usd_h

    def _of_requests(self, beat: Beat | None) -> Microusd:
        """As the worker has counted them; what they cost is not its word."""
        if self._market is None or beat is None:
            return 0
        return to_micro(self._market.requests_usd(beat.requests))

    def _bears(self) -> Microusd:
        """What is reserved for requests, where they are paid for."""
        paid = self._market is not None and self._market.house().requests_usd is not None
        return to_micro(REQUESTS_USD) if paid else 0

    # ------------------------------------------------------------------ the house itself

    def pay_overhead(self, view: View, settings: Settings) -> None:
        """An hour of the house, reserved ahead. The hour has one key until it is known to be ours, so that a lost reply
        is asked for again and not taken for another's. It ends early where more machines came, or more was asked of the
        account, than it bears, and where it was not free, as soon as one would be."""
        now, house, hour = self._clock.monotonic(), self._house(settings), self._hour
        busy = {e.attempts[-1].machine.id for e in view.running() if e.attempts[-1].machine is not None}
        bound, bears = house.bound_usd_h, self._bears()
        amount = cost_of(HOUR_S, bound) + bears
        if hour is not None:
            hour.meter.see(now, house, busy)
            hour.over = hour.over or not hour.lasts(now, house) or (
                not hour.taken and self._fits(view, settings, amount + hour.meter.microusd(now)))
            if not hour.over:
                self.starved = self.starved or not hour.taken
                return
        self.settle_overhead(view)
        key = f"overhead.{self._epoch}.{self._hours + 1}"
        self._settle_left_open(view, settings, key)
        taken = self._ledger.accounts.reserve_overhead(
            key, amount, self._opened(view, settings), price_usd_h=bound, anyway=True, epoch=self._epoch,
            op_id=f"reserve.{key}")
        self.starved = self.starved or not taken
        self._hours += 1
        now = self._clock.monotonic()
        self._hour = Hour(key, taken, now, bound, bears, Meter(now, house, busy, self._tab))

    def paid(self) -> dict[str, Any]:
        """What a heartbeat tells of the hour that is paid, for whoever has to settle it if we die."""
        if self._hour is None:
            return {}
        now = self._clock.monotonic()
        return {"overhead": self._hour.key, "overhead_s": now - self._hour.since,
                "overhead_microusd": self._hour.meter.microusd(now)}

    def settle_overhead(self, view: View) -> None:
        """Book the part of the hour that was used."""
        if self._hour is None:
            return
        now, hour = self._clock.monotonic(), self._hour
        self._settle(view, hour.key, hour.meter.microusd(now), min(now - hour.since, HOUR_S))
        hour.meter.booked()
        self._hour = None

    def _fits(self, view: View, settings: Settings, amount: Microusd) -> bool:
        return all(id not in view.budgets or view.budgets[id].free >= amount for id in self._in_force(settings))

    def _house(self, settings: Settings) -> House:
        """What could not be looked at is said once."""
        if self._market is None:
            return House(fixed_usd_h=settings.prices.overhead_usd_h)
        trouble = self._market.trouble()
        for line in trouble:
            if line not in self._trouble:
                log.warning("the account's prices", why=line)
        self._trouble = trouble
        return self._market.house()

    def _settle_left_open(self, view: View, settings: Settings, own: str) -> None:
        """Of the hours of daemons that died: up to their last sign, and a lease that ran out."""
        for key, reservation in list(view.unsettled.items()):
            if reservation.what == "overhead" and key != own:
                told, silent_s = self._told(key), settings.limits.lease_s + settings.limits.grace_s
                lived_s, price = told.overhead_s, reservation.price_usd_h
                used = cost_of(lived_s, price) if told.overhead_microusd is None else int(told.overhead_microusd)
                amount = used + cost_of(silent_s, price)
                self._settle(view, key, amount, min(lived_s + silent_s, HOUR_S))

    def _told(self, key: str) -> Told:
        """What its daemon last said of the hour of this reservation; nothing where that cannot be read."""
        sign = self._ledger.office.daemon_sign(int(key.split(".")[1]))
        try:
            told = msgspec.convert(sign.progress if sign is not None else {}, Told)
        except msgspec.ValidationError:
            return Told()
        return told if told.overhead == key else Told()

    # ------------------------------------------------------------------ what the account says

    def reconcile(self) -> None:
        """Once a day, what the account was billed, for the report to hold against what was booked."""
        if self._market is None or self._clock.monotonic() - self._began < LIVED_S:
            return
        accounts, wall = self._ledger.accounts, self._clock.wall()
        if (found := self._market.bill()) is not None:
            accounts.note_bill(found, epoch=self._epoch, op_id=f"bill.{self._epoch}.{found.at:.0f}")
            if found.why:
                log.warning("the account's bill could not be read", why=found.why)
        if self._billed_at is None:
            known = accounts.bill()
            self._billed_at = known.at if known is not None else 0.0
        if wall - self._billed_at >= DAY_S:
            self._market.ask_bill(wall)
            self._billed_at = wall

    def level(self, view: View, settings: Settings) -> Level:
        """The worst level of the budgets in force, from what is spent and what running work will probably cost."""
        budgets = [view.budgets[id] for id in self._in_force(settings) if id in view.budgets]
        return worst_level(budgets, expected_cost(len(view.running()), view.recent_costs, view.unsettled.values()))

    def _settle(self, view: View, key: str, amount: int, seconds: float, price_usd_h: float = 0.0) -> None:
        self._ledger.accounts.settle(key, amount, used_s=seconds, price_usd_h=price_usd_h, epoch=self._epoch,
                                     op_id=f"settle.{key}")
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
                self._ledger.accounts.set_cap(id, to_micro(cap), op_id=open_op(id))
        return self._in_force(settings)
