"""What the house has run up since its hour was paid: seconds by a rate that changes as machines come, work and go, and
what its process has asked of the account meanwhile."""

from __future__ import annotations

from collections.abc import Collection

from lab.market import House
from lab.money import Microusd, cost_of, to_micro


class Meter:
    """Times are the daemon's own monotonic clock, in seconds; `busy` are the machines that attempts pay for. Requests
    count by what the house had asked at its last `see`."""

    def __init__(self, now: float, house: House, busy: Collection[str]) -> None:
        self._since, self._usd_h = now, house.usd_h(busy)
        self._before: Microusd = 0  # of the stretches with another rate
        self._asked_before_usd = self._asked_usd = house.requests_usd or 0.0

    def see(self, now: float, house: House, busy: Collection[str]) -> None:
        """From now on it costs so much."""
        self._asked_usd = house.requests_usd or 0.0
        if (usd_h := house.usd_h(busy)) != self._usd_h:
            self._before, self._since, self._usd_h = self._of_time(now), now, usd_h

    @property
    def of_requests(self) -> Microusd:
        return to_micro(self._asked_usd - self._asked_before_usd)

    def microusd(self, now: float) -> Microusd:
        return self._of_time(now) + self.of_requests

    def _of_time(self, now: float) -> Microusd:
        return self._before + cost_of(now - self._since, self._usd_h)
