"""Where the month would end, and that a forecast is told by the same bounds as what is spent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lab.forecast import days_left, forecast_level, month_end
from lab.money import Level

USD = 1_000_000


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(("when", "days"), [
    ((2026, 11, 1), 30), ((2026, 11, 23, 12), 7.5), ((2026, 11, 30, 18), 0.25), ((2028, 2, 28), 2)])
def test_days_are_left_until_the_calendar_month_ends(when: tuple[int, ...], days: float) -> None:
    assert days_left(at(*when)) == pytest.approx(days)


def test_a_month_ends_at_what_is_spent_and_the_last_days_rate_for_the_rest() -> None:
    assert month_end(14 * USD, 12 * USD, at(2026, 11, 23, 12)) == 104 * USD
    assert month_end(14 * USD, 0, at(2026, 11, 23, 12)) is None, "nothing was spent lately"


@pytest.mark.parametrize(("end", "level"), [(69, "ok"), (70, "medium"), (85, "high"), (95, "critical"), (None, "ok")])
def test_a_forecast_has_the_levels_of_money(end: int | None, level: Level) -> None:
    assert forecast_level(end, 100) == level
