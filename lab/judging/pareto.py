"""The Pareto front: the points that no other point beats on every objective. Equal points stand beside each other."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence

import msgspec

from lab.track import Objective

Losses = tuple[float, ...]  # the objectives' values, turned so that smaller is better on each


class Point(msgspec.Struct, frozen=True):
    """An experiment's place: `values` in the order and the units of the objectives."""

    id: str
    values: tuple[float, ...]


def losses(values: Sequence[float], objectives: Sequence[Objective]) -> Losses:
    """The values with `max` axes negated. Raises ValueError if their numbers differ."""
    return tuple(v if o.direction == "min" else -v for v, o in zip(values, objectives, strict=True))


def dominates(a: Sequence[float], b: Sequence[float], objectives: Sequence[Objective]) -> bool:
    """`a` is nowhere worse than `b` and somewhere better."""
    return _beats(losses(a, objectives), losses(b, objectives))


def front(points: Iterable[Point], objectives: Sequence[Objective]) -> list[Point]:
    """The points that none dominates, best first on the first objective. n log n for two objectives."""
    best = Front(objectives)
    for point in sorted(points, key=lambda p: losses(p.values, objectives)):
        best.add(point)
    return best.points()


class Front:
    """A front that grows by one point at a time: in two dimensions a bisection each, else one pass over the front."""

    def __init__(self, objectives: Sequence[Objective], points: Iterable[Point] = ()) -> None:
        self._objectives = tuple(objectives)
        self._rows: list[tuple[Losses, str, Point]] = []  # sorted by the losses, equal ones by their ids
        for point in points:
            self.add(point)

    def add(self, point: Point) -> bool:
        """Whether the point is on the front now; those that it dominates leave. A known point changes nothing."""
        row = (losses(point.values, self._objectives), point.id, point)
        if self._dominated(row[0]):
            return False
        if row not in self._equals(row[0]):
            self._drop_beaten_by(row[0])
            insort(self._rows, row, key=_place)
        return True

    def points(self) -> list[Point]:
        return [point for _, _, point in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, id: object) -> bool:
        return any(known == id for _, known, _ in self._rows)

    def _dominated(self, new: Losses) -> bool:
        end = bisect_right(self._rows, new, key=_losses)  # whoever dominates `new` sorts before it
        if len(new) == 2:  # the second loss falls along a front, so the last one before `new` decides
            return end > 0 and _beats(self._rows[end - 1][0], new)
        return any(_beats(row[0], new) for row in self._rows[:end])

    def _drop_beaten_by(self, new: Losses) -> None:
        start = end = bisect_right(self._rows, new, key=_losses)  # whomever `new` dominates sorts behind it
        if len(new) == 2:
            while end < len(self._rows) and _beats(new, self._rows[end][0]):
                end += 1
            del self._rows[start:end]
        else:
            self._rows[start:] = [row for row in self._rows[start:] if not _beats(new, row[0])]

    def _equals(self, new: Losses) -> list[tuple[Losses, str, Point]]:
        end = start = bisect_right(self._rows, new, key=_losses)
        while start > 0 and self._rows[start - 1][0] == new:
            start -= 1
        return self._rows[start:end]


def _beats(a: Losses, b: Losses) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def _losses(row: tuple[Losses, str, Point]) -> Losses:
    return row[0]


def _place(row: tuple[Losses, str, Point]) -> tuple[Losses, str]:
    return row[:2]
