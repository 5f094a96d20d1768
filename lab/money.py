"""Money in whole micro-dollars: prices, upper bounds to reserve, and the levels of alarm. All pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from lab.errors import Refused

Microusd = int
Level = Literal["ok", "medium", "high", "critical"]
LEVELS: tuple[tuple[float, Level], ...] = ((0.95, "critical"), (0.85, "high"), (0.70, "medium"))
MOST = 1e12  # seconds or requests: nobody can have counted more
RECENT = 100  # attempts whose costs tell what the next will probably cost: the last by key of those that cost something
SEVERITY: tuple[Level, ...] = ("ok", "medium", "high", "critical")


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A hard cap: the calendar month's, or the run's. Always cap = free + reserved + spent. `free` is below 0 only
    where a person lowered the cap below what is reserved and spent, or what the house costs anyway passed it."""

    id: str
    cap: Microusd
    free: Microusd
    reserved: Microusd = 0
    spent: Microusd = 0


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """An upper bound taken from `budgets` before the cost can arise. Settled exactly once. Of what arises anyway
    nothing is `taken` where it is not free: it bounds its entry all the same, which may pass the cap."""

    key: str
    amount: Microusd
    budgets: tuple[str, ...]
    what: Literal["attempt", "overhead", "model"]
    experiment: str | None = None
    price_usd_h: float = 0.0
    at: float = 0.0
    settled: bool = False
    taken: bool = True


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A settled cost. Its id is the reservation's key, so there is one for each. `price_usd_h` is what an hour of an
    attempt's machine cost: 0 where it was the reservation's, as in older records, and of what has no one price."""

    key: str
    amount: Microusd
    budgets: tuple[str, ...]
    what: Literal["attempt", "overhead", "model"]
    experiment: str | None = None
    used_s: float = 0.0
    price_usd_h: float = 0.0
    at: float = 0.0


    @property
    def telling(self) -> bool:
        """Of an attempt that has cost something: one that never began says nothing of the next."""
        return self.what == "attempt" and self.amount > 0


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What the account was billed from the day `first` to before the day `end` (UTC): by its own services, without
    what carries no tag of the lab. `why` says what kept it from being read."""

    first: str
    end: str
    at: float = 0.0
    by_service: dict[str, Microusd] = {}
    why: str = ""

    @property
    def billed(self) -> Microusd:
        return sum(self.by_service.values())


def usd(amount: Microusd) -> str:
    """For people: $1.23, with more digits while the amount is small; -$1.23 where it is lacking."""
    dollars, sign = abs(amount) / 1_000_000, "-" if amount < 0 else ""
    return f"{sign}${dollars:,.2f}" if dollars >= 1 else f"{sign}${dollars:.4f}"


def to_micro(dollars: float) -> Microusd:
    return round(dollars * 1_000_000)


def price_of(prices_usd_h: Mapping[str, float], job_class: str) -> float:
    """Dollars an hour for a job class. An unknown price refuses; it is never zero."""
    if job_class not in prices_usd_h:
        raise Refused(f"no price for job class {job_class!r}: set prices.{job_class}_usd_h in aether.toml")
    return prices_usd_h[job_class]


def within(counted: float) -> float:
    """What can have been counted of it; nothing of what is no number."""
    return min(max(0.0, counted), MOST)  # in this order, in which max passes NaN over


def cost_of(seconds: float, price_usd_h: float) -> Microusd:
    """Cost of that many seconds, rounded up: a reservation must never be too small by rounding."""
    return math.ceil(within(seconds) / 3600 * price_usd_h * 1_000_000)


def level_of(spent: Microusd, expected: Microusd, cap: Microusd) -> Level:
    """The level of alarm from what was spent and what running work is expected to cost (not its reservation)."""
    share = (spent + expected) / cap if cap > 0 else 1.0
    return next((level for bound, level in LEVELS if share >= bound), "ok")


def worst_level(budgets: Iterable[Budget], expected: Microusd) -> Level:
    """What the daemon and the budget guard go by: of the budgets in force, and what `expected_cost` says."""
    levels = [level_of(budget.spent, expected, budget.cap) for budget in budgets]
    return max(levels, key=SEVERITY.index, default="ok")


def expected_cost(running: int, recent: Sequence[Microusd], unsettled: Iterable[Reservation]) -> Microusd:
    """What so many running attempts will probably cost: the mean of the `RECENT` last each, never above what is
    reserved for attempts."""
    reserved = sum(one.amount for one in unsettled if one.what == "attempt")
    if not recent:
        return reserved
    return min(running * sum(recent) // len(recent), reserved)
