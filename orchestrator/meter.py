"""What the house has run up since its hour was paid: seconds by a rate that changes as machines come, work and go."""

from __future__ import annotations

from lab.money import Microusd, cost_of


class Meter:
    """Times are the daemon's own monotonic clock, in seconds."""

    def __init__(self, now: float, usd_h: float) -> None:
        self._since, self._usd_h = now, usd_h
        self._before: Microusd = 0  # of the stretches with another rate

    def see(self, now: float, usd_h: float) -> None:
        """From now on it costs so much."""
        if usd_h != self._usd_h:
            self._before, self._since, self._usd_h = self.microusd(now), now, usd_h

    def microusd(self, now: float) -> Microusd:
        return self._before + cost_of(now - self._since, self._usd_h)
