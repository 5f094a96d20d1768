import math

from hypothesis import given
from hypothesis import strategies as st

from gpu_workers.codec.operating_point import closest, lowest_rate


def near(gap: float) -> bool:
    return abs(gap) < 1e-9


@given(st.integers(0, 500), st.integers(0, 300), st.integers(0, 200))
def test_a_straight_line_is_met_exactly_in_a_few_trials(zero: int, below: int, above: int) -> None:
    calls: list[int] = []

    def gap(step: int) -> float:
        calls.append(step)
        return (zero - step) * 0.03

    assert closest(gap, zero - below, zero + above, near=near, tries=12) == zero
    assert len(calls) == len(set(calls))


@given(st.floats(0.01, 20.0))
def test_a_rate_that_falls_with_the_quantiser_is_met_within_a_step(wanted: float) -> None:
    def gap(step: int) -> float:
        return math.log(30 * math.exp(-step / 17) / wanted)

    best = closest(gap, 0, 200, near=near, tries=12)
    assert abs(gap(best)) <= 1 / 17 or best in (0, 200)


def test_no_more_trials_are_made_than_were_allowed() -> None:
    calls: list[int] = []

    def gap(step: int) -> float:
        calls.append(step)
        return 1.0 if step < 777 else -1.0

    closest(gap, 0, 10**6, near=near, tries=5)
    assert len(calls) == 5


@given(st.floats(20.0, 50.0))
def test_the_lowest_rate_still_reaches_the_quality(wanted: float) -> None:
    def gap(step: int) -> float:
        return 55 - 0.2 * step - wanted

    best = lowest_rate(gap, 0, 200, near=lambda value: 0 <= value <= 0.05, tries=12)
    assert gap(best) >= 0 > gap(best + 1)


def test_where_no_step_reaches_the_quality_the_best_one_is_given() -> None:
    assert lowest_rate(lambda step: -1.0 - step, 0, 50, near=near, tries=12) == 0
