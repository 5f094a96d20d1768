"""Ending leases for silence: a heartbeat counter that stands still for a lease time on *our* monotonic clock.

Nothing else ends a lease here. What was never seen is watched from now on, so a daemon that has just started, or
whose machine slept, gives every worker a whole lease time before it believes in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Seen(NamedTuple):
    """A running attempt, the counter of its last heartbeat (0: none yet), and the lease time that it was given."""

    experiment: str
    fence: int
    n: int
    lease_s: float


class LeaseWatch:
    def __init__(self) -> None:
        self._since: dict[tuple[str, int], tuple[int, float]] = {}  # attempt → (counter, when it was first seen)
        self._looked: float | None = None

    def silent(self, attempts: Iterable[Seen], now: float) -> list[Seen]:
        """Those whose counter has stood still for a lease time. Call at least every half lease while any runs: a
        longer pause of our own proves nothing about others, and starts their watch afresh."""
        pause = now - self._looked if self._looked is not None else 0.0
        self._looked = now
        before, self._since = self._since, {}
        found = []
        for seen in attempts:
            attempt = (seen.experiment, seen.fence)
            n, since = before[attempt] if attempt in before and pause <= seen.lease_s / 2 else (-1, now)
            self._since[attempt] = (seen.n, since if n == seen.n else now)
            if n == seen.n and now - since >= seen.lease_s:
                found.append(seen)
        return found
