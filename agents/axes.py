"""Axes of a chart: where a value lies in pixels, linear or logarithmic, and the round values to write beside it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

import msgspec


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    log: bool = False


class Scale(msgspec.Struct, frozen=True):
    low: float
    high: float
    start: float  # pixels
    length: float  # pixels; negative upwards
    log: bool

    def at(self, value: float) -> float:
        low, high, place = (log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + self.length * (place - low) / (high - low)


def fitted(values: Sequence[float], axis: Axis, start: float, length: float, wished: Sequence[float]) -> Scale:
    """A scale with some air around the values. Raises ValueError without any."""
    if not values:
        raise ValueError("there is nothing to draw")
    low, high = min([*values, *wished]), max([*values, *wished])
    if axis.log:
        pad = (high / low) ** 0.05 if high > low else 2.0
        return Scale(low / pad, high * pad, start, length, True)
    gap = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return Scale(low - gap, high + gap, start, length, False)


def ticks(low: float, high: float, *, log: bool = False, most: int = 7) -> list[float]:
    """Round values between the two: 1, 2 and 5 of each decade where it is logarithmic."""
    if log:
        decades = range(floor(log10(low)), ceil(log10(high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [float(f"{step}e{d}") for d in decades for step in steps if low <= float(f"{step}e{d}") <= high]
            if len(found) <= most:
                break
        if len(found) >= 2:
            return found
    step = _nice((high - low) / most)
    return [float(f"{step * n:.10g}") for n in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _nice(least: float) -> float:
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
