"""The picture of the front: every point is where its numbers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.picture import BLANK, Axis, Series, axis, legend, scatter, ticks

SQUARE = Axis(name="x", low=0.0, high=1.0)


def rows(picture: str) -> list[str]:
    """The field right of the left axis, top to bottom."""
    return [line[max(line.find("│"), line.find("┤")) + 1:] for line in picture.splitlines()
            if "│" in line or "┤" in line]


def test_marks_stand_in_the_corners_that_their_points_are_in() -> None:
    corners = Series(name="corner", points=((0.0, 1.0), (1.0, 0.0)), style="", mark="●")
    field = rows(scatter([corners], SQUARE, SQUARE, width=20, height=6).plain)
    assert field[0].rstrip() == "●"
    assert field[-1] == " " * 19 + "●"


@given(points=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=30))
def test_every_dot_is_drawn_once_for_each_place_that_has_a_point(points: list[tuple[float, float]]) -> None:
    drawn = scatter([Series(name="all", points=tuple(points), style="")], SQUARE, SQUARE, width=10, height=5).plain
    dots = sum((ord(c) - BLANK).bit_count() for c in drawn if BLANK < ord(c) < BLANK + 256)
    places = {(min(int(x * 20), 19), min(int((1 - y) * 20), 19)) for x, y in points}
    assert dots == len(places)


def test_a_mark_is_never_hidden_by_a_dot() -> None:
    best = Series(name="best", points=((0.5, 0.5),), style="", mark="★")
    crowd = Series(name="crowd", points=((0.5, 0.5),), style="")
    assert "★" in scatter([best, crowd], SQUARE, SQUARE).plain


def test_a_log_axis_gives_equal_room_to_equal_ratios() -> None:
    rate = Axis(name="rate", low=0.1, high=10.0, log=True)
    assert rate.place(1.0) == pytest.approx(0.5)


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=20), st.booleans())
def test_an_axis_holds_all_its_values_and_few_round_ticks(values: list[float], log: bool) -> None:
    found = axis("any", values, log)
    assert all(0 <= found.place(value) <= 1 for value in values)
    marks = ticks(found, 6)
    assert len(marks) <= 14
    assert marks == sorted(marks)
    assert all(found.low <= mark <= found.high or found.place(mark) == pytest.approx(round(found.place(mark)), abs=1e-6)
               for mark in marks)


def test_the_legend_names_only_what_is_drawn() -> None:
    empty = Series(name="anchors", points=(), style="", mark="×")
    one = Series(name="front", points=((0, 0),), style="", mark="●")
    assert legend([empty, one]).plain.split() == ["●", "front"]
