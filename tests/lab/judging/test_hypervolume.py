"""The hypervolume is the volume that a front dominates, to the last digit."""

from __future__ import annotations

from itertools import product
from math import e, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.judging.hypervolume import hypervolume
from lab.track import Objective

X = Objective(metric="x", direction="min", reference=10.0)
Y = Objective(metric="y", direction="max", reference=0.0)
Z = Objective(metric="z", direction="min", reference=5.0)
W = Objective(metric="w", direction="max", reference=-1.0)
RATE = Objective(metric="bitrate_mbps", direction="min", reference=10.0, log=True)


def cells(points: list[tuple[int, ...]], objectives: tuple[Objective, ...]) -> int:
    """Counts the unit cells that some point dominates, for points on whole numbers."""
    axes = [range(-2, 12)] * len(objectives)

    def inside(cell: tuple[int, ...], point: tuple[int, ...]) -> bool:
        return all(p <= c < o.reference if o.direction == "min" else o.reference <= c < p
                   for c, p, o in zip(cell, point, objectives, strict=True))

    return sum(any(inside(cell, p) for p in points) for cell in product(*axes))


def whole(width: int, most: int) -> st.SearchStrategy[list[tuple[int, ...]]]:
    return st.lists(st.tuples(*[st.integers(-2, 11)] * width), max_size=most)


@given(whole(2, 12))
def test_two_objectives_match_counting_cells(points: list[tuple[int, ...]]) -> None:
    assert hypervolume(points, (X, Y)) == pytest.approx(cells(points, (X, Y)))


@given(whole(3, 6))
def test_three_objectives_match_counting_cells(points: list[tuple[int, ...]]) -> None:
    assert hypervolume(points, (X, Y, Z)) == pytest.approx(cells(points, (X, Y, Z)))


def test_four_objectives_match_a_random_sample() -> None:
    rng = Random(7)
    objectives = (X, Y, Z, W)
    points = [(rng.uniform(0, 10), rng.uniform(0, 10), rng.uniform(0, 5), rng.uniform(-1, 4)) for _ in range(12)]
    box = 10 * 10 * 5 * 5
    draws = [(rng.uniform(0, 10), rng.uniform(0, 10), rng.uniform(0, 5), rng.uniform(-1, 4)) for _ in range(40_000)]
    hits = sum(any(p[0] <= d[0] and p[1] >= d[1] and p[2] <= d[2] and p[3] >= d[3] for p in points) for d in draws)
    assert hypervolume(points, objectives) == pytest.approx(box * hits / len(draws), rel=0.05)


@given(st.lists(st.tuples(st.floats(0.01, 20), st.floats(-5, 20)), max_size=15),
       st.tuples(st.floats(0.01, 20), st.floats(-5, 20)))
def test_a_new_point_never_lowers_it(points: list[tuple[float, float]], new: tuple[float, float]) -> None:
    objectives = (RATE, Y)
    assert hypervolume([*points, new], objectives) >= hypervolume(points, objectives) - 1e-9


def test_a_log_axis_pays_the_same_for_every_halving() -> None:
    def volume(rate: float) -> float:
        return hypervolume([(rate, 1.0)], (RATE, Y))

    assert volume(10 / e) == pytest.approx(1.0)
    assert volume(1.0) - volume(2.0) == pytest.approx(log(2))
    assert volume(0.05) - volume(0.1) == pytest.approx(log(2))


def test_points_behind_the_reference_or_off_a_log_axis_add_nothing() -> None:
    assert hypervolume([], (RATE, Y)) == 0
    assert hypervolume([(11.0, 5.0), (1.0, -1.0), (10.0, 3.0)], (RATE, Y)) == 0
    assert hypervolume([(0.0, 5.0)], (RATE, Y)) == 0


def test_one_objective_is_the_best_distance_from_the_reference() -> None:
    assert hypervolume([(4.0,), (7.0,)], (X,)) == 6.0
