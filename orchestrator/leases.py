"""Ending leases for silence: a heartbeat counter that stands still for a lease time on *our* monotonic clock.

Nothing else ends a lease here. What was never seen is watched from now on, so a daemon that has just started, or
whose machine slept, gives every worker a whole lease time before it believes in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Seen(NamedTuple):
    """A running attempt and the counter of its last heartbeat (0: none yet)."""

    experiment: str
    fence: int
    n: int


class LeaseWatch:
    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._since: dict[tuple[str, int], tuple[int, float]] = {}  # attempt → (counter, when it was first seen)
        self._looked: float | None = None

    def silent(self, attempts: Iterable[Seen], now: float) -> list[Seen]:
        """Those whose counter has stood still for a lease time. Call at least every half lease while any runs: a
        longer pause of our own proves nothing about others, and starts every watch afresh."""
        if self._looked is not None and now - self._looked > self._lease_s / 2:
            self._since.clear()
        self._looked = now
        before, self._since = self._since, {}
        found = []
        for seen in attempts:
            n, since = before.get((seen.experiment, seen.fence), (-1, now))
            self._since[(seen.experiment, seen.fence)] = (seen.n, since if n == seen.n else now)
            if n == seen.n and now - since >= self._lease_s:
                found.append(seen)
        return found
