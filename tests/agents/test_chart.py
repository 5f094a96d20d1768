"""Small charts: marks where their numbers belong, round ticks, names that can be read."""

from __future__ import annotations

import itertools
from math import isclose, log
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.axes import Axis, ticks
from agents.chart import LINE_PX, Guide, Mark, Series, draw, interval

SVG = "{http://www.w3.org/2000/svg}"
RATE, QUALITY = Axis(label="rate (Mbps)", log=True), Axis(label="quality (dB)")


def line(name: str, *points: tuple[float, float], **more: Any) -> Series:
    marks = tuple(Mark(x=x, y=y, title=f"{name} {x:g}") for x, y in points)
    return Series(**{"name": name, "marks": marks, "line": "straight"} | more)


def drawn(*series: Series, **more: Any) -> ElementTree.Element:
    return ElementTree.fromstring(draw(series, RATE, QUALITY, **more))


def places(svg: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in svg.iter(f"{SVG}circle")]


def test_on_a_log_axis_equal_ratios_lie_equally_far_apart() -> None:
    (x1, y1), (x2, y2), (x3, y3) = places(drawn(line("a", (0.1, 30.0), (1.0, 35.0), (10.0, 40.0))))
    assert isclose(x2 - x1, x3 - x2, abs_tol=0.2)
    assert isclose(y1 - y2, y2 - y3, abs_tol=0.2)
    assert y1 > y3  # more is higher on the page


def test_each_mark_has_its_tooltip() -> None:
    svg = drawn(line("a", (0.1, 30.0), (1.0, 35.0)))
    assert [t.text for t in svg.iter(f"{SVG}title")] == ["a 0.1", "a 1"]


def test_what_has_no_logarithm_is_left_out() -> None:
    assert len(places(drawn(line("a", (0.0, 30.0), (1.0, 35.0), (-2.0, 31.0))))) == 1


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        draw([line("a")], RATE, QUALITY)


def test_names_of_lines_that_end_together_do_not_lie_upon_each_other() -> None:
    svg = drawn(*(line(f"codec {n}", (0.1, 30.0), (1.0, 35.0 + n / 100)) for n in range(5)))
    heights = sorted(float(t.attrib["y"]) for t in svg.iter(f"{SVG}text") if t.attrib.get("class") == "name")
    assert len(heights) == 5
    assert all(b - a >= LINE_PX - 0.2 for a, b in itertools.pairwise(heights))


def test_a_long_name_at_the_edge_has_room() -> None:
    svg = drawn(line("a codec with a long name", (0.1, 30.0), (1.0, 35.0)), width=600)
    (name,) = (t for t in svg.iter(f"{SVG}text") if t.attrib.get("class") == "name")
    assert float(name.attrib["x"]) + 8 * len(name.text or "") <= 600
    assert max(x for x, _ in places(drawn(line("a", (0.1, 30.0), (1.0, 35.0)), width=600))) > 500


def test_names_are_text_never_markup() -> None:
    svg = drawn(line("<script>&", (0.1, 30.0)))
    assert "<script>&" in [t.text for t in svg.iter(f"{SVG}text")]
    assert not list(svg.iter(f"{SVG}script"))


def test_a_front_holds_what_it_reached_until_the_next_point() -> None:
    svg = drawn(line("front", (0.1, 30.0), (1.0, 35.0), line="step"))
    (path,) = (p.attrib["d"] for p in svg.iter(f"{SVG}path"))
    corners = [tuple(map(float, corner.split())) for corner in path[1:].split("L")]
    (start, end) = places(svg)
    assert corners == [start, (end[0], start[1]), end]


def test_the_corner_where_every_goal_is_met_is_marked() -> None:
    goals = [Guide(axis="x", value=1.0, relation="<=", label="cheap"),
             Guide(axis="y", value=35.0, relation=">=", label="good")]
    svg = drawn(line("a", (0.1, 30.0), (10.0, 40.0)), guides=goals)
    (aim,) = (r.attrib for r in svg.iter(f"{SVG}rect") if r.attrib.get("class") == "aim")
    inside = [x for x, _ in places(svg) if float(aim["x"]) <= x <= float(aim["x"]) + float(aim["width"])]
    assert len(inside) == 1
    assert not list(drawn(line("a", (0.1, 30.0)), guides=goals[:1]).iter(f"{SVG}rect"))


@given(st.floats(1e-3, 1e3), st.floats(1.05, 1e4), st.booleans(), st.integers(3, 12))
def test_ticks_are_round_ordered_within_the_axis_and_not_too_many(low: float, ratio: float, is_log: bool,
                                                                 most: int) -> None:
    high = low * ratio
    found = ticks(low, high, log=is_log, most=most)
    assert 1 <= len(found) <= most + 1
    assert all(a < b for a, b in itertools.pairwise(found))
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in found)


def test_a_log_axis_ticks_at_one_two_and_five() -> None:
    assert ticks(0.09, 11.0, log=True) == [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
    assert log(ticks(0.001, 1000.0, log=True)[1] / 0.001) > log(5)  # wide: decades alone


def test_a_number_stands_on_its_noise_band() -> None:
    svg = ElementTree.fromstring(interval(2.0, -1.0, 1.0, 2.0, "told").replace("<svg", f'<svg xmlns="{SVG[1:-1]}"'))
    band = next(r.attrib for r in svg.iter(f"{SVG}rect"))
    (dot,) = places(svg)
    assert dot[0] > float(band["x"]) + float(band["width"])
