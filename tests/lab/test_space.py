"""Search spaces: sampling stays inside, conditions hold, and a point outside is told why."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from lab.space import Choice, Integer, Real, When, problems, sample

SPACE = (Choice(name="encoder", values=("a", "b")),
         Integer(name="crf", low=10, high=50, step=5),
         Real(name="psy", low=0.01, high=4.0, log=True, when=When("encoder", ("a",))))


@given(st.integers(0, 2**32))
def test_a_sample_is_always_a_point_of_its_space(seed: int) -> None:
    assert problems(SPACE, sample(SPACE, Random(seed))) == []


def test_the_same_seed_samples_the_same_point() -> None:
    assert sample(SPACE, Random(7)) == sample(SPACE, Random(7))


def test_a_dimension_exists_only_where_its_condition_holds() -> None:
    drawn = [sample(SPACE, Random(seed)) for seed in range(40)]
    assert {("psy" in point) for point in drawn if point["encoder"] == "a"} == {True}
    assert {("psy" in point) for point in drawn if point["encoder"] == "b"} == {False}


def test_what_is_outside_missing_or_unknown_is_named() -> None:
    found = problems(SPACE, {"encoder": "a", "crf": 12, "speed": 1})
    assert len(found) == 3
    assert "crf=12 is outside" in found[0]
    assert found[1] == "psy is missing"
    assert found[2] == "speed is not a parameter here"


def test_a_flag_is_no_number_and_a_number_is_no_flag() -> None:
    assert problems((Integer(name="n", low=0, high=1),), {"n": True})
    assert problems((Choice(name="on", values=(True, False)),), {"on": 1})


def test_reals_are_rounded_so_that_equal_specs_have_equal_fingerprints() -> None:
    assert Real(name="x", low=0.0, high=1.0, digits=3).rounded(0.123456) == 0.123
