"""A scatter drawn with characters: braille dots for the many, marks for the few. Pure: numbers in, a rich Text out.

Each braille character holds 2 × 4 dots, so a picture of 60 × 14 characters resolves 120 × 56 places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, log10

import msgspec
from rich.text import Text

from cli.output import number

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of Unicode's braille patterns, row by row
BLANK = 0x2800


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Points that belong together. Without a mark they are braille dots."""

    name: str
    points: tuple[tuple[float, float], ...]
    style: str
    mark: str = ""


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        if self.log:
            return (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return (value - self.low) / (self.high - self.low)


def axis(name: str, values: Sequence[float], log: bool) -> Axis:
    """An axis around the values with some room; with much where they are almost one."""
    low, high = min(values), max(values)
    if log and low > 0:
        room = _room(log10(high) - log10(low), least=0.1)
        return Axis(name=name, low=low * 10 ** -room, high=high * 10 ** room, log=True)
    room = _room(high - low, least=0.01 * max(abs(high), abs(low), 1e-3))
    return Axis(name=name, low=low - room, high=high + room)


def _room(span: float, least: float) -> float:
    return max(0.04 * span, least if span < least else 0.0)


def scatter(series: Sequence[Series], x: Axis, y: Axis, width: int = 60, height: int = 14) -> Text:
    """Later series are drawn over earlier ones. Values off an axis are left out."""
    cells = [[" "] * width for _ in range(height)]
    styles = [[""] * width for _ in range(height)]
    for one in series:
        for a, b in _inside(one.points, x, y):
            _put(cells, styles, one, x.place(a), y.place(b))
    picture, labels = Text(), _labels(y, height)
    margin = max(len(label) for label in labels.values())
    for row in range(height):
        picture.append(f"{labels.get(row, ''):>{margin}} ", style="dim")
        picture.append("┤" if row in labels else "│", style="dim")
        for cell, style in zip(cells[row], styles[row], strict=True):
            picture.append(cell, style=style)
        picture.append("\n")
    return picture.append_text(_bottom(x, width, margin))


def legend(series: Iterable[Series]) -> Text:
    found = Text()
    for one in series:
        if one.points:
            found.append(f"{one.mark or '⠶'} ", style=one.style)
            found.append(f"{one.name}   ", style="dim")
    return found


def ticks(along: Axis, most: int) -> list[float]:
    """Round values on the axis: 1, 2, 5 times a power of ten."""
    if along.log:
        powers = range(floor(log10(along.low)), ceil(log10(along.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [step * 10.0 ** power for power in powers for step in steps
                     if along.low <= step * 10.0 ** power <= along.high]
            if len(found) <= most:
                return found
    step = _step((along.high - along.low) / max(most, 1))
    first = ceil(along.low / step)
    return [n * step for n in range(first, floor(along.high / step) + 1)]


def _step(least: float) -> float:
    power = 10.0 ** floor(log10(least))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= least - 1e-12)


def _inside(points: Iterable[tuple[float, float]], x: Axis, y: Axis) -> Iterable[tuple[float, float]]:
    return (point for point in points if x.low <= point[0] <= x.high and y.low <= point[1] <= y.high)


def _put(cells: list[list[str]], styles: list[list[str]], one: Series, right: float, up: float) -> None:
    height, width = len(cells), len(cells[0])
    column, row = min(int(right * width * 2), width * 2 - 1), min(int((1 - up) * height * 4), height * 4 - 1)
    cell = cells[row // 4][column // 2]
    if one.mark:
        cells[row // 4][column // 2] = one.mark
    elif cell == " " or ord(cell) >= BLANK:
        bits = 0 if cell == " " else ord(cell) - BLANK
        cells[row // 4][column // 2] = chr(BLANK | bits | DOTS[row % 4][column % 2])
    else:
        return  # a mark stands there, which says more than a dot
    styles[row // 4][column // 2] = one.style


def _labels(y: Axis, height: int) -> dict[int, str]:
    return {min(int((1 - y.place(value)) * height), height - 1): number(value) for value in ticks(y, height // 3)}


def _bottom(x: Axis, width: int, margin: int) -> Text:
    line, names = ["─"] * width, [" "] * (width + 8)
    taken = -1
    for value in ticks(x, width // 8):
        place, name = min(int(x.place(value) * width), width - 1), number(value)
        start = max(place - len(name) // 2, 0)
        line[place] = "┴"
        if start > taken:
            names[start:start + len(name)] = name
            taken = start + len(name)
    pad = " " * (margin + 1)
    return Text.assemble((f"{pad}└{''.join(line)}\n", "dim"), (f"{pad} {''.join(names).rstrip()}  {x.name}", "dim"))
