"""How sure a number is. A difference is told with its noise band, or it is not told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from random import Random
from statistics import NormalDist, fmean, median

import msgspec

RESAMPLES = 2000
Statistic = Callable[[Sequence[float]], float]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """`value` with the band that holds it with the given confidence."""

    value: float
    low: float
    high: float
    confidence: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g} at {self.confidence:.0%})"


def wilson(hits: int, trials: int, confidence: float = 0.95) -> Interval:
    """A share of independent trials. Wilson, Probable Inference, 1927. Without trials anything is possible: 0 to 1."""
    if trials == 0:
        return Interval(value=0.0, low=0.0, high=1.0, confidence=confidence)
    z, share = NormalDist().inv_cdf(0.5 + confidence / 2), hits / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    spread = z / scale * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # at no hit and at all hits the band ends at the share itself, which rounding would miss
    low = 0.0 if hits == 0 else centre - spread
    high = 1.0 if hits == trials else centre + spread
    return Interval(value=share, low=low, high=high, confidence=confidence)


def median_difference(a: Sequence[float], b: Sequence[float], *, seed: int, confidence: float = 0.95) -> Interval:
    """median(a) − median(b), by the percentile bootstrap. Raises ValueError if either is empty."""
    return bootstrap_difference(a, b, median, seed=seed, confidence=confidence)


def mean_difference(a: Sequence[float], b: Sequence[float], *, seed: int, confidence: float = 0.95) -> Interval:
    """mean(a) − mean(b), by the percentile bootstrap. Raises ValueError if either is empty."""
    return bootstrap_difference(a, b, fmean, seed=seed, confidence=confidence)


def bootstrap_difference(a: Sequence[float], b: Sequence[float], statistic: Statistic, *, seed: int,
                         confidence: float = 0.95, resamples: int = RESAMPLES) -> Interval:
    """statistic(a) − statistic(b). Efron, Bootstrap Methods, 1979: the same seed gives the same band."""
    if not a or not b:
        raise ValueError("a difference needs at least one value on each side")
    rng = Random(seed)
    draws = [statistic(rng.choices(a, k=len(a))) - statistic(rng.choices(b, k=len(b))) for _ in range(resamples)]
    return band(draws, statistic(a) - statistic(b), confidence)


def band(draws: Sequence[float], value: float, confidence: float = 0.95) -> Interval:
    """The middle part of the draws, around `value`."""
    ordered = sorted(draws)
    tail = (1 - confidence) / 2 * (len(ordered) - 1)
    return Interval(value=value, low=ordered[round(tail)], high=ordered[len(ordered) - 1 - round(tail)],
                    confidence=confidence)
