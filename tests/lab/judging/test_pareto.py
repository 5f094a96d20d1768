"""A point is on the front if no other beats it everywhere."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from lab.judging.pareto import Front, Point, dominates, front
from lab.track import Objective

RATE = Objective(metric="bitrate_mbps", direction="min", reference=10.0, log=True)
QUALITY = Objective(metric="psnr_y_db", direction="max", reference=25.0)
COST = Objective(metric="decode_ms", direction="min", reference=100.0)
TWO, THREE = (RATE, QUALITY), (RATE, QUALITY, COST)

grid = st.integers(0, 6).map(float)  # coarse, so that ties and equal points are common


def points_of(width: int) -> st.SearchStrategy[list[Point]]:
    rows = st.lists(st.tuples(*[grid] * width), max_size=25)
    return rows.map(lambda values: [Point(f"{i:02}", v) for i, v in enumerate(values)])


def brute(points: list[Point], objectives: tuple[Objective, ...]) -> set[str]:
    return {p.id for p in points if not any(dominates(q.values, p.values, objectives) for q in points)}


def test_better_on_one_axis_and_equal_on_the_other_dominates() -> None:
    assert dominates((1.0, 36.0), (1.0, 35.0), TWO)
    assert not dominates((1.0, 35.0), (1.0, 35.0), TWO)
    assert not dominates((0.5, 30.0), (1.0, 35.0), TWO)


@given(points_of(2))
def test_two_objectives_match_comparing_all_pairs(points: list[Point]) -> None:
    assert {p.id for p in front(points, TWO)} == brute(points, TWO)


@given(points_of(3))
def test_three_objectives_match_comparing_all_pairs(points: list[Point]) -> None:
    assert {p.id for p in front(points, THREE)} == brute(points, THREE)


@given(points_of(2) | points_of(3), st.randoms())
def test_a_front_grown_in_any_order_is_the_same(points: list[Point], rng: Random) -> None:
    objectives = THREE if points and len(points[0].values) == 3 else TWO
    shuffled = rng.sample(points, len(points))
    assert Front(objectives, shuffled).points() == front(points, objectives)


@given(points_of(2) | points_of(3))
def test_adding_says_whether_the_point_is_on_the_front_at_that_moment(points: list[Point]) -> None:
    objectives = THREE if points and len(points[0].values) == 3 else TWO
    grown = Front(objectives)
    for count, point in enumerate(points, start=1):
        assert grown.add(point) == (point.id in brute(points[:count], objectives))


def test_telling_a_point_twice_changes_nothing() -> None:
    grown = Front(TWO, [Point("a", (1.0, 35.0)), Point("b", (2.0, 38.0))])
    assert grown.add(Point("a", (1.0, 35.0)))
    assert [p.id for p in grown.points()] == ["a", "b"]
    assert len(grown) == 2
    assert "a" in grown
    assert "c" not in grown


def test_the_front_lists_the_best_of_the_first_objective_first() -> None:
    best = front([Point("big", (4.0, 40.0)), Point("small", (0.5, 30.0)), Point("bad", (5.0, 29.0))], TWO)
    assert [p.id for p in best] == ["small", "big"]
