"""Prices round up, levels rise, and a price that is not known is never zero."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import Refused
from lab.money import MOST, Budget, Reservation, cost_of, expected_cost, level_of, price_of, to_micro, usd, worst_level


def test_an_hour_costs_its_price() -> None:
    assert cost_of(3600, 0.526) == 526_000
    assert cost_of(1800, 0.526) == 263_000


@given(st.floats(0, 1e6), st.floats(0.0001, 100))
def test_a_cost_is_never_rounded_down(seconds: float, price_usd_h: float) -> None:
    exact = seconds * price_usd_h * 1_000_000 / 3600
    assert exact - 1e-6 * max(exact, 1) <= cost_of(seconds, price_usd_h) < exact + 1 + 1e-6 * max(exact, 1)


def test_even_a_moment_costs_something_and_time_that_ran_backwards_nothing() -> None:
    assert cost_of(0.001, 0.01) == 1
    assert cost_of(-5.0, 1.0) == 0


@pytest.mark.parametrize(("seconds", "counted"), [(1e308, MOST), (math.inf, MOST), (math.nan, 0.0)])
def test_time_that_nobody_can_have_counted_has_a_cost_all_the_same(seconds: float, counted: float) -> None:
    """A daemon that cannot say it would die of it each time that it starts."""
    assert cost_of(seconds, 20.0) == cost_of(counted, 20.0)


def test_an_unknown_price_refuses_and_names_the_setting() -> None:
    assert price_of({"cpu": 0.1}, "cpu") == 0.1
    with pytest.raises(Refused, match=r"prices\.gpu_usd_h"):
        price_of({"cpu": 0.1}, "gpu")


@pytest.mark.parametrize(("spent", "expected", "level"), [
    (0, 0, "ok"), (69, 0, "ok"), (70, 0, "medium"), (40, 30, "medium"), (84, 0, "medium"), (85, 0, "high"),
    (94, 0, "high"), (90, 5, "critical"), (95, 0, "critical"), (200, 0, "critical")])
def test_levels_look_at_what_is_spent_and_what_runs(spent: int, expected: int, level: str) -> None:
    assert level_of(spent, expected, 100) == level


def test_no_budget_at_all_is_critical() -> None:
    assert level_of(0, 0, 0) == "critical"


def test_running_work_is_expected_to_cost_what_recent_work_did_but_never_more_than_reserved() -> None:
    def held(amount: int) -> list[Reservation]:
        return [Reservation(key="e0001.1", amount=amount, budgets=(), what="attempt"),
                Reservation(key="overhead.1.1", amount=5000, budgets=(), what="overhead")]
    assert expected_cost(2, [10, 20], held(1000)) == 30
    assert expected_cost(2, [10, 20], held(25)) == 25
    assert expected_cost(2, [], held(1000)) == 1000


def test_the_worst_budget_sets_the_level() -> None:
    fine = Budget(id="2026-11", cap=1000, free=900, spent=100)
    tight = Budget(id="run-1", cap=100, free=10, spent=70)
    assert worst_level([fine], 0) == "ok"
    assert worst_level([fine, tight], 0) == "medium"
    assert worst_level([fine, tight], 15) == "high"
    assert worst_level([fine, tight], 25) == "critical"


@pytest.mark.parametrize(("amount", "text"), [
    (0, "$0.0000"), (1_234, "$0.0012"), (1_230_000, "$1.23"), (-2_500_000, "-$2.50"), (1_234_567_890, "$1,234.57")])
def test_amounts_read_as_dollars(amount: int, text: str) -> None:
    assert usd(amount) == text


def test_dollars_become_whole_microdollars() -> None:
    assert [to_micro(dollars) for dollars in (0.1, 0.29, 1e-7, 12.345678)] == [100_000, 290_000, 0, 12_345_678]
