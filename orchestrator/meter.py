"""What the house has run up since its hour was paid: seconds by a rate that changes as machines come, work and go, and
what its process has asked of the account meanwhile."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lab.market import House
from lab.money import Microusd, cost_of, to_micro


@dataclass
class Tab:
    """Up to where the requests of one process are booked, from its first on, by the meters that follow each other."""

    booked_usd: float = 0.0


class Meter:
    """Times are the daemon's own monotonic clock, in seconds; `busy` are the machines that attempts pay for. Requests
    count from where the tab stands up to what the house had asked at the last `see`."""

    def __init__(self, now: float, house: House, busy: Collection[str], tab: Tab) -> None:
        self._since, self._usd_h = now, house.usd_h(busy)
        self._before: Microusd = 0  # of the stretches with another rate
        self._tab, self._asked_usd = tab, house.requests_usd or 0.0

    def see(self, now: float, house: House, busy: Collection[str]) -> None:
        """From now on it costs so much."""
        self._asked_usd = house.requests_usd or 0.0
        if (usd_h := house.usd_h(busy)) != self._usd_h:
            self._before, self._since, self._usd_h = self._of_time(now), now, usd_h

    @property
    def of_requests(self) -> Microusd:
        return to_micro(self._asked_usd - self._tab.booked_usd)

    def microusd(self, now: float) -> Microusd:
        return self._of_time(now) + self.of_requests

    def booked(self) -> None:
        """What it shows stands in an entry: the next meter goes on from there."""
        self._tab.booked_usd = self._asked_usd

    def _of_time(self, now: float) -> Microusd:
        return self._before + cost_of(now - self._since, self._usd_h)
