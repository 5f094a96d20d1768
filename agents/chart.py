"""Small pictures in SVG: points and lines over two axes, and a number on its noise band. No library, no script.

Every mark has a tooltip (`<title>`), lines carry their names, and each picture brings its own colours for light and
dark, so that it stands in a page or alone in a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import Literal

import msgspec

from agents.axes import Axis as Axis
from agents.axes import Scale, fitted, ticks

TOP, BOTTOM, LEFT, RIGHT = 16, 44, 52, 16
LINE_PX, LETTER_PX = 15, 8.6  # of the names, at most: bold and in a wide font
COLOURS = 6  # after them they repeat, dashed

STYLE = """<style>
.chart{--ink:#0b0b0b;--soft:#6b6a66;--grid:#e6e5e0;--face:#fcfcfb;
--c0:#b4b2ab;--c1:#2a78d6;--c2:#eb6834;--c3:#1baf7a;--c4:#4a3aa7;--c5:#e87ba4;--c6:#eda100;--goal:#0ca30c;
font:12px system-ui,sans-serif;max-width:100%;height:auto}
@media screen and (prefers-color-scheme:dark){.chart{--ink:#fff;--soft:#a3a29b;--grid:#32322f;--face:#1a1a19;
--c0:#62615c;--c1:#3987e5;--c2:#d95926;--c3:#199e70;--c4:#9085e9;--c5:#d55181;--c6:#c98500;--goal:#0ca30c}}
.chart text{fill:var(--soft)}.chart .name{fill:var(--ink);font-weight:600;
paint-order:stroke;stroke:var(--face);stroke-width:4px}.chart .grid{stroke:var(--grid)}
.chart path{fill:none;stroke-width:2;stroke-linejoin:round}.chart .goal{stroke:var(--goal);stroke-dasharray:5 4}
.chart .aim{fill:var(--goal);opacity:.07}.chart circle{stroke:transparent;stroke-width:10}
.chart .halo{stroke:var(--face);stroke-width:2}.chart g:hover>circle{stroke:var(--ink);stroke-width:2}
</style>"""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    x: float
    y: float
    title: str = ""  # the tooltip


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """`colour` 0 is the quiet one, for what stands behind; 1 is for what matters most."""

    name: str
    marks: tuple[Mark, ...]
    colour: int = 1
    line: Literal["none", "straight", "step"] = "none"
    radius: float = 4.0


class Guide(msgspec.Struct, frozen=True, kw_only=True):
    """A line at a value that is wished for, on this side of it."""

    axis: Literal["x", "y"]
    value: float
    relation: Literal["<=", ">="]
    label: str


def draw(series: Sequence[Series], x: Axis, y: Axis, *, guides: Sequence[Guide] = (), width: int = 760,
         height: int = 430, names: bool = True) -> str:
    """One SVG element. `names` writes each line's name beside its end. On a log axis what is not positive is left out.

    Raises ValueError without a single mark."""
    drawn = [msgspec.structs.replace(s, marks=tuple(m for m in s.marks if _fits(m, x, y))) for s in series]
    places, wished = [m.x for s in drawn for m in s.marks], _values(guides, "x")
    across = fitted(places, x, LEFT, width - LEFT - RIGHT, wished)
    room = float(RIGHT)
    while names and room < width / 2 and (beyond := _beyond(drawn, across, width)) > 0:  # the marks follow only in part
        room += max(beyond, 1.0)
        across = fitted(places, x, LEFT, width - LEFT - room, wished)
    up = fitted([m.y for s in drawn for m in s.marks], y, height - BOTTOM, TOP + BOTTOM - height, _values(guides, "y"))
    parts = [*_grid(across, up, x, y), *_aim(guides, across, up), *(_guide(g, across, up) for g in guides),
             *(_series(s, across, up) for s in drawn), *(_names(drawn, across, up) if names else ())]
    return (f'<svg class="chart" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(f"{y.label} against {x.label}")}">'
            f"{STYLE}{''.join(parts)}</svg>")


def interval(value: float, low: float, high: float, extent: float, title: str, *, width: int = 150) -> str:
    """A number as a dot on the band that chance gives, over -extent to +extent, with zero in the middle."""
    def at(v: float) -> float:
        return width / 2 * (1 + max(-1.0, min(1.0, v / extent))) * 0.94 + width * 0.03
    return (f'<svg class="chart" viewBox="0 0 {width} 18" width="{width}" height="18" role="img" '
            f'aria-label="{escape(title)}">'
            f'<title>{escape(title)}</title><rect x="{at(low):.1f}" y="5" width="{at(high) - at(low):.1f}" height="8" '
            f'rx="2" fill="var(--grid)"/><line x1="{at(0):.1f}" x2="{at(0):.1f}" y1="2" y2="16" stroke="var(--soft)"/>'
            f'<circle class="halo" cx="{at(value):.1f}" cy="9" r="5" fill="var(--c1)"/></svg>')


def _fits(mark: Mark, x: Axis, y: Axis) -> bool:
    return (mark.x > 0 or not x.log) and (mark.y > 0 or not y.log)


def _values(guides: Iterable[Guide], axis: str) -> list[float]:
    return [guide.value for guide in guides if guide.axis == axis]


def _grid(across: Scale, up: Scale, x: Axis, y: Axis) -> list[str]:
    left, right, bottom, top = across.start, across.start + across.length, up.start, up.start + up.length
    most = max(2, int(across.length // 62))
    parts = [f'<line class="grid" x1="{across.at(v):.1f}" x2="{across.at(v):.1f}" y1="{top}" y2="{bottom}"/>'
             f'<text x="{across.at(v):.1f}" y="{bottom + 17}" text-anchor="middle">{v:g}</text>'
             for v in ticks(across.low, across.high, log=across.log, most=most)]
    parts += [f'<line class="grid" x1="{left}" x2="{right}" y1="{up.at(v):.1f}" y2="{up.at(v):.1f}"/>'
              f'<text x="{left - 8}" y="{up.at(v) + 4:.1f}" text-anchor="end">{v:g}</text>'
              for v in ticks(up.low, up.high, log=up.log)]
    middle = (top + bottom) / 2
    parts.append(f'<text x="{(left + right) / 2:.0f}" y="{bottom + 37}" text-anchor="middle">{escape(x.label)}</text>')
    parts.append(f'<text x="14" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 14 {middle:.0f})">'
                 f"{escape(y.label)}</text>")
    return parts


def _aim(guides: Sequence[Guide], across: Scale, up: Scale) -> list[str]:
    """The corner in which every guide is met, if there is one on each axis."""
    if {guide.axis for guide in guides} != {"x", "y"}:
        return []
    sides = []
    for name, scale in (("x", across), ("y", up)):
        most = min([g.value for g in guides if g.axis == name and g.relation == "<="], default=scale.high)
        least = max([g.value for g in guides if g.axis == name and g.relation == ">="], default=scale.low)
        if least >= most:
            return []
        sides.append(sorted((scale.at(least), scale.at(most))))
    (x0, x1), (y0, y1) = sides
    return [f'<rect class="aim" x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"/>']


def _guide(guide: Guide, across: Scale, up: Scale) -> str:
    left, right, bottom, top = across.start, across.start + across.length, up.start, up.start + up.length
    if guide.axis == "x":
        place = across.at(guide.value)
        return (f'<line class="goal" x1="{place:.1f}" x2="{place:.1f}" y1="{top}" y2="{bottom}"/>'
                f'<text x="{place - 5:.1f}" y="{bottom - 8}" text-anchor="end">{escape(guide.label)}</text>')
    place = up.at(guide.value)
    return (f'<line class="goal" x1="{left}" x2="{right}" y1="{place:.1f}" y2="{place:.1f}"/>'
            f'<text x="{left + 6}" y="{place - 6:.1f}">{escape(guide.label)}</text>')


def _series(series: Series, across: Scale, up: Scale) -> str:
    colour = f"var(--c{_slot(series.colour)})"
    places = [(across.at(m.x), up.at(m.y)) for m in series.marks]
    dash = ' stroke-dasharray="7 4"' if series.colour > COLOURS else ""
    path = f'<path d="{_PATHS[series.line](places)}" stroke="{colour}"{dash}/>' if series.line != "none" else ""
    halo = ' class="halo"' if series.colour else ""
    return path + "".join(
        f'<g><title>{escape(mark.title or series.name)}</title><circle{halo} cx="{px:.1f}" cy="{py:.1f}" '
        f'r="{series.radius:g}" fill="{colour}"/></g>' for mark, (px, py) in zip(series.marks, places, strict=True))


def _slot(colour: int) -> int:
    return (colour - 1) % COLOURS + 1 if colour else 0


def _straight(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in places) if places else ""


def _step(places: Sequence[tuple[float, float]]) -> str:
    """What is reached holds until the next point: along, then up."""
    corners = [corner for (_, y0), (x1, y1) in pairwise(places) for corner in ((x1, y0), (x1, y1))]
    return _straight([*places[:1], *corners])


_PATHS: dict[str, Callable[[Sequence[tuple[float, float]]], str]] = {"straight": _straight, "step": _step}


def _beyond(series: Sequence[Series], across: Scale, width: int) -> float:
    """How far the longest name would reach over the right edge."""
    ends = [across.at(s.marks[-1].x) + 10 + LETTER_PX * len(s.name) for s in series if s.line != "none" and s.marks]
    return max(ends, default=0.0) - width


def _names(series: Sequence[Series], across: Scale, up: Scale) -> list[str]:
    """Beside the last point of each line, pushed apart where they would lie upon each other."""
    lines = [s for s in series if s.line != "none" and s.marks]
    ends = sorted(((up.at(s.marks[-1].y), across.at(s.marks[-1].x), s) for s in lines), key=lambda end: end[:2])
    parts, lowest = list[str](), float("-inf")
    for py, px, one in ends:
        lowest = max(py + 4, lowest + LINE_PX)
        parts.append(f'<text class="name" x="{px + 10:.1f}" y="{lowest:.1f}">{escape(one.name)}</text>')
    return parts
