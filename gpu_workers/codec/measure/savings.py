"""How much rate a codec saves against an anchor at equal quality, from the anchor's own rate-distortion curve.

`saving_x265_pct` and `saving_svtav1_pct` are this: the anchor's rate at the candidate's PSNR-Y, read off its measured
curve by linear interpolation of log rate over PSNR, against the candidate's rate. Outside the curve there is no number.
Pure Python: the orchestrator calls it on a machine with no numerical libraries.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import exp, isfinite, log

Point = tuple[float, float]  # (Mbps, dB)


def saving_pct(curve: Iterable[Point], mbps: float, psnr_db: float) -> tuple[float | None, str]:
    """Percent of the anchor's rate saved at this PSNR (negative: it needs more), or None; then why.

    A point of the anchor that another one beats in both rate and PSNR is left out: its curve is then monotone.
    """
    if not (isfinite(mbps) and mbps > 0 and isfinite(psnr_db)):
        return None, f"the candidate's point is not a number: {mbps} Mbps, {psnr_db} dB"
    points = monotone(curve)
    if len(points) < 2:
        return None, f"the anchor's curve has {len(points)} usable points; two are needed"
    low, high = points[0][1], points[-1][1]
    if not low <= psnr_db <= high:
        return None, f"{psnr_db:.2f} dB lies outside the anchor's curve, {low:.2f} to {high:.2f} dB"
    return 100 * (1 - mbps / rate_at(points, psnr_db)), ""


def monotone(curve: Iterable[Point]) -> list[Point]:
    """The curve by rising rate and PSNR, without points that are not numbers or that another point beats."""
    usable = [(mbps, psnr) for mbps, psnr in curve if isfinite(mbps) and mbps > 0 and isfinite(psnr)]
    kept: list[Point] = []
    for mbps, psnr in sorted(usable, key=lambda point: (point[0], -point[1])):
        if not kept or psnr > kept[-1][1]:
            kept.append((mbps, psnr))
    return kept


def rate_at(points: list[Point], psnr_db: float) -> float:
    """Mbps at a PSNR within a monotone curve."""
    for (rate_a, psnr_a), (rate_b, psnr_b) in pairwise(points):
        if psnr_db <= psnr_b:
            share = (psnr_db - psnr_a) / (psnr_b - psnr_a)
            return exp(log(rate_a) + share * (log(rate_b) - log(rate_a)))
    raise ValueError(f"{psnr_db} dB is above the curve's last point")
