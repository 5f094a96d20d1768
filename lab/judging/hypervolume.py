"""Hypervolume: how much of the space between the reference point and the ideal a set of points dominates, exactly.

One number for a whole front that grows with every real gain and never falls when a point is added. Axes marked `log`
are measured in natural logarithms, so that halving a bitrate is worth the same everywhere.
Zitzler and Thiele, Multiobjective Evolutionary Algorithms: A Comparative Case Study, 1999; for three and more
objectives by slicing: While, Hingston, Barone and Huband, A Faster Algorithm for Calculating Hypervolume, 2006.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log

from lab.track import Objective

Gain = tuple[float, ...]  # how far a point lies on the good side of the reference, axis by axis


def hypervolume(points: Iterable[Sequence[float]], objectives: Sequence[Objective]) -> float:
    """The volume, in the product of the objectives' units (log axes in nats). `points` are values in their units.

    A point that is nowhere better than the reference on some axis adds nothing, nor does one without a logarithm.
    """
    gains = (gain(values, objectives) for values in points)
    return volume([g for g in gains if g is not None])


def gain(values: Sequence[float], objectives: Sequence[Objective]) -> Gain | None:
    """Null where the point adds nothing."""
    found = []
    for value, objective in zip(values, objectives, strict=True):
        if objective.log and value <= 0:
            return None  # no place on a log axis: an infinite gain would drown every real one
        place, reference = (log(v) if objective.log else v for v in (value, objective.reference))
        found.append(reference - place if objective.direction == "min" else place - reference)
    return tuple(found) if all(g > 0 for g in found) else None


def volume(gains: Sequence[Gain]) -> float:
    """The volume of the union of the boxes from the origin to each gain."""
    if not gains:
        return 0.0
    width = len(gains[0])
    if width == 1:
        return max(g[0] for g in gains)
    return _area(gains) if width == 2 else _sliced(gains)


def _area(gains: Sequence[Gain]) -> float:
    area = top = 0.0
    for x, y in sorted(gains, reverse=True):
        if y > top:
            area += x * (y - top)
            top = y
    return area


def _sliced(gains: Sequence[Gain]) -> float:
    """Cuts along the last axis: between two cuts the section is that of all points reaching beyond."""
    ordered = sorted(gains, key=lambda g: g[-1], reverse=True)
    floors = [g[-1] for g in ordered[1:]] + [0.0]
    total = 0.0
    section: list[Gain] = []
    for reached, floor in zip(ordered, floors, strict=True):
        section.append(reached[:-1])
        if reached[-1] > floor:
            total += volume(section) * (reached[-1] - floor)
    return total
