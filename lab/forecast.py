"""Where the calendar month (UTC) would end if every day cost what the last one did, and how that stands to its cap.

A forecast warns and stops nothing: a lab's first busy hour would forecast its ruin. What is spent, and what running
work is expected to cost, stops it; and the cap holds whatever happens.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from lab.money import Level, Microusd, level_of

DAY_S = 86400.0


def month_end(spent: Microusd, last_day: Microusd, now: float) -> Microusd | None:
    """`spent` this month, `last_day` in the last 24 hours; None before the lab has cost anything lately."""
    return spent + round(last_day * days_left(now)) if last_day else None


def forecast_level(month_end: Microusd | None, cap: Microusd) -> Level:
    return level_of(month_end, 0, cap) if month_end is not None else "ok"


def days_left(now: float) -> float:
    """Until the month ends."""
    day = datetime.fromtimestamp(now, UTC)
    days = calendar.monthrange(day.year, day.month)[1]
    return days - (day.day - 1) - (day.hour * 3600 + day.minute * 60 + day.second) / DAY_S
