"""What the house costs while nobody runs a lab on an account, since it rests or has no footage: orchestrator, disks,
addresses, what is stored, what is kept.

It arises whatever the budget says, so nobody reserves it: each hour since the last daemon left is booked when it is
over, and the part of the last one when the wait ends. An hour is known by that daemon and by its number, so two
processes, or one that was started afresh, book it once; one at whose end no process lived is not booked.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from agents.gather import settings_in_force
from lab.clock import Clock, month_key
from lab.errors import Refused
from lab.ledger import Ledger
from lab.market import Market
from lab.money import to_micro
from orchestrator.books import HOUR_S, open_op
from orchestrator.meter import Meter, Tab
from orchestrator.rest import Left

log = structlog.get_logger("upkeep")


@dataclass
class Hour:
    """The n-th after `left`, and when it began on our monotonic clock."""

    left: Left
    n: int
    since: float
    meter: Meter


class Upkeep:
    """See the module. `look` every few seconds, `end` when a daemon is to begin; both raise Unavailable."""

    def __init__(self, ledger: Ledger, clock: Clock, market: Market, tab: Tab) -> None:
        self._ledger, self._clock, self._market, self._tab = ledger, clock, market, tab
        self._hour: Hour | None = None

    def look(self, left: Left) -> None:
        """What passed of the hour before our first look counts by the prices of that look."""
        now, house = self._clock.monotonic(), self._market.house()
        if self._hour is None or self._hour.left != left:
            whole, part_s = divmod(max(self._clock.wall() - left.at, 0.0), HOUR_S)
            self._hour = Hour(left, int(whole) + 1, now - part_s, Meter(now - part_s, house, (), self._tab))
        hour = self._hour
        while now - hour.since >= HOUR_S:
            ended = hour.since + HOUR_S
            self._book(hour, ended)
            hour = self._hour = Hour(left, hour.n + 1, ended, Meter(ended, house, (), self._tab))
        hour.meter.see(now, house, ())

    def end(self) -> None:
        """The next daemon pays from now on."""
        if self._hour is not None:
            self._book(self._hour, self._clock.monotonic())
            self._hour = None

    def _book(self, hour: Hour, until: float) -> None:
        """To the month in which the hour began."""
        key, accounts = f"rest.{hour.left.epoch}.{hour.n}", self._ledger.accounts
        month = month_key(hour.left.at + (hour.n - 1) * HOUR_S)
        if accounts.balance(month) is None:  # no daemon has lived in it yet
            cap = settings_in_force(self._ledger).budget.monthly_usd
            accounts.set_cap(month, to_micro(cap), op_id=open_op(month))
        try:
            accounts.book_at_rest(key, hour.meter.microusd(until), (month,), used_s=until - hour.since,
                                  epoch=hour.left.epoch, op_id=f"book.{key}")
            hour.meter.booked()
        except Refused as refusal:  # a daemon has come meanwhile: what it did not see is a few seconds
            log.info("not booked", key=key, why=str(refusal))
