"""Time from outside. Leases are timed on the monotonic clock of whoever watches; wall time is for people and hours."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def wall(self) -> float:
        """Seconds since the epoch. May jump; never compared between machines."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back and mean nothing to another process."""
        ...


class SystemClock:
    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def hour_key(wall: float) -> str:
    """The UTC hour, as reports are keyed: 2026-11-23T05."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H")


def month_key(wall: float) -> str:
    """The UTC calendar month, as budgets are keyed: 2026-11."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m")
