"""Turns are shared as the mix says, at every moment, and control never falls below its part."""

from __future__ import annotations

from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.mix import designer_shares, pick_designer


def turns(mix: dict[str, float], count: int, seed: int = 0, control_share: float = 0.15) -> list[str]:
    counts: dict[str, int] = {}
    order = []
    for _ in range(count):
        name = pick_designer(mix, counts, seed, control_share)
        counts[name] = counts.get(name, 0) + 1
        order.append(name)
    return order


@given(weights=st.lists(st.floats(0, 10), min_size=1, max_size=4), own=st.floats(0, 5),
       control_share=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_after_any_number_of_proposals_control_has_its_share(weights: list[float], own: float, control_share: float,
                                                             seed: int) -> None:
    mix = {f"d{i}": w for i, w in enumerate(weights)} | {"control": own}
    order = turns(mix, 60, seed, control_share)
    for n in range(61):
        assert order[:n].count("control") >= floor(control_share * n + 1e-9)


def test_the_shares_hold_from_the_start_and_do_not_drift() -> None:
    order = turns({"evolution": 3, "claude": 1}, 400)
    for n in range(1, 401):
        assert abs(order[:n].count("evolution") - 0.85 * 0.75 * n) <= 2
        assert abs(order[:n].count("control") - 0.15 * n) <= 2


def test_a_restart_goes_on_from_the_counts() -> None:
    whole = turns({"evolution": 1}, 50, seed=3)
    counts = {name: whole[:20].count(name) for name in ("control", "evolution")}
    assert pick_designer({"evolution": 1}, counts, 3) == whole[20]


def test_a_designer_that_fell_behind_catches_up() -> None:
    assert pick_designer({"evolution": 1, "claude": 1}, {"control": 15, "evolution": 60, "claude": 25}, 0) == "claude"
    assert pick_designer({"evolution": 1}, {"control": 2, "evolution": 98}, 0) == "control"


def test_controls_floor_goes_before_another_that_lags_further() -> None:
    assert pick_designer({"evolution": 1, "claude": 1}, {"control": 14, "evolution": 86}, 0) == "control"


def test_control_takes_all_where_nobody_else_is_named() -> None:
    assert set(turns({}, 10)) == {"control"}
    assert set(turns({"control": 1, "evolution": 0}, 10)) == {"control"}


def test_a_larger_wish_for_control_is_granted() -> None:
    assert designer_shares({"control": 1, "evolution": 1}) == {"control": 0.5, "evolution": 0.5}
    assert designer_shares({"evolution": 2})["control"] == 0.15


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        pick_designer({"evolution": -1}, {}, 0)
