"""Bjøntegaard deltas between two rate-distortion curves (VCEG-M33; the package `bjontegaard`, PCHIP interpolation).

A delta exists where each curve keeps at least four points after those beaten in rate and PSNR by another point are
left out, and where the curves overlap. What was left out, and an overlap below 75 %, is said in `note`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from math import isfinite, log

import bjontegaard
import msgspec

from gpu_workers.codec.measure.savings import Point, monotone
from lab.words import count

LEAST_POINTS = 4
FULL_OVERLAP = 0.75


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """A Bjøntegaard delta, or None and why. `overlap` is the share of the curves' common span that both cover."""

    value: float | None
    why: str = ""  # why there is no value
    note: str = ""  # what to know about the value
    overlap: float = 0.0


def bd_rate(anchor: Sequence[Point], points: Sequence[Point]) -> Delta:
    """Mean difference of rate at equal PSNR, in percent of the anchor's; negative is a saving. Points: (Mbps, dB)."""
    return _delta(anchor, points, bjontegaard.bd_rate, span=lambda point: point[1])


def bd_psnr(anchor: Sequence[Point], points: Sequence[Point]) -> Delta:
    """Mean difference of PSNR at equal rate, in dB; positive is better. Points: (Mbps, dB)."""
    return _delta(anchor, points, bjontegaard.bd_psnr, span=lambda point: log(point[0]))


def _delta(
    anchor: Sequence[Point], points: Sequence[Point], formula: Callable[..., float], span: Callable[[Point], float]
) -> Delta:
    curves = {"anchor's curve": monotone(anchor), "curve": monotone(points)}
    dropped = {"anchor's curve": len(anchor), "curve": len(points)}
    notes = [
        f"{count(dropped[name] - len(curve), 'point')} of the {name} left out: not rising"
        for name, curve in curves.items()
        if len(curve) < dropped[name]
    ]
    for name, curve in curves.items():
        if len(curve) < LEAST_POINTS:
            tail = f" ({notes[0]})" if notes else ""
            why = f"the {name} has {count(len(curve), 'point')}; {LEAST_POINTS} are needed{tail}"
            return Delta(value=None, why=why)
    overlap = _overlap(*([span(point) for point in curve] for curve in curves.values()))
    if overlap <= 0:
        return Delta(value=None, why="the curves do not overlap", note="; ".join(notes))
    if overlap < FULL_OVERLAP:
        notes.append(f"the curves overlap by {overlap:.0%} only")
    value = _call(formula, *curves.values())
    if not isfinite(value):
        return Delta(value=None, why="the interpolation gave no finite number", note="; ".join(notes), overlap=overlap)
    return Delta(value=value, note="; ".join(notes), overlap=overlap)


def _overlap(a: list[float], b: list[float]) -> float:
    common = min(max(a), max(b)) - max(min(a), min(b))
    return max(0.0, common / (max(*a, *b) - min(*a, *b)))


def _call(formula: Callable[..., float], anchor: list[Point], points: list[Point]) -> float:
    columns = [[point[axis] for point in curve] for curve in (anchor, points) for axis in (0, 1)]
    with warnings.catch_warnings(action="ignore"):  # a small overlap: our note says it
        return float(formula(*columns, method="pchip", require_matching_points=False))
