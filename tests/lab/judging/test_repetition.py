"""A repetition: deterministic numbers are equal or not, timings are neither, and a gap must stay a gap."""

from __future__ import annotations

import pytest

from lab.experiment import Scores
from lab.judging.repetition import Pair, compare
from support.curve.spec import TRACK


def scores(**values: float | None) -> Scores:
    return Scores(mean=values, clips={"a": values})


def verdicts(before: Scores, after: Scores) -> dict[tuple[str, str], bool | None]:
    return {(pair.clip, pair.metric): pair.equal for pair in compare(TRACK, before, after)}


def test_the_same_numbers_are_equal_in_the_mean_and_on_each_clip() -> None:
    same = scores(fit_db=12.5, coefficients=3.0)
    assert verdicts(same, same) == dict.fromkeys([("", "coefficients"), ("", "fit_db"), ("a", "coefficients"),
                                                  ("a", "fit_db")], True)


@pytest.mark.parametrize(("now", "equal"), [(12.5, True), (12.5 + 1e-10, True), (12.5001, False), (None, False)])
def test_a_number_may_differ_by_the_order_of_a_sum_and_by_nothing_else(now: float | None, equal: bool) -> None:
    assert verdicts(scores(fit_db=12.5), scores(fit_db=now))["", "fit_db"] is equal


def test_a_timing_stands_beside_without_a_verdict() -> None:
    assert verdicts(scores(fit_ms=1.0), scores(fit_ms=9.0))["", "fit_ms"] is None


def test_what_is_computed_from_other_experiments_is_left_out() -> None:
    assert verdicts(scores(gain_line_db=1.0), scores(gain_line_db=2.0)) == {}


def test_a_clip_that_only_one_of_them_has_differs() -> None:
    before, after = scores(fit_db=1.0), Scores(mean={"fit_db": 1.0}, clips={})
    assert Pair(metric="fit_db", clip="a", before=1.0, after=None, equal=False) in compare(TRACK, before, after)
