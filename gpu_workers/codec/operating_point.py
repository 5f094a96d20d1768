"""Finding the setting of an encoder's quality that gives the rate, or the PSNR, which was asked for. Pure.

A trial is dear (it is an encoding), so the search interpolates between what it has tried, and stops when close.
"""

from __future__ import annotations

from collections.abc import Callable


def closest(gap: Callable[[int], float], low: int, high: int, *, near: Callable[[float], bool], tries: int) -> int:
    """The step in low … high whose gap comes nearest to zero, after at most `tries` calls of `gap`.

    `gap` must not rise with the step (but for noise). A gap for which `near` holds ends the search.
    """
    tried: dict[int, float] = {}
    step = (low + high) // 2
    while len(tried) < tries and step not in tried:
        tried[step] = gap(step)
        if near(tried[step]):
            break
        step = _next_step(tried, low, high)
    return min(tried, key=lambda step: (not near(tried[step]), abs(tried[step]), step))


def lowest_rate(gap: Callable[[int], float], low: int, high: int, *, near: Callable[[float], bool], tries: int) -> int:
    """The highest step tried whose gap is not below zero; if none is, the step with the highest gap."""
    seen: dict[int, float] = {}

    def kept(step: int) -> float:
        seen[step] = gap(step)
        return seen[step]

    closest(kept, low, high, near=near, tries=tries)
    reached = [step for step, value in seen.items() if value >= 0]
    return max(reached) if reached else max(seen, key=lambda step: seen[step])


def _next_step(tried: dict[int, float], low: int, high: int) -> int:
    """Between the nearest steps on both sides of zero, by interpolation; towards the end where a side has none."""
    above = max((step for step, value in tried.items() if value > 0), default=None)
    below = min((step for step, value in tried.items() if value <= 0 and (above is None or step > above)), default=None)
    if above is None or below is None:
        start, end = (above, high) if above is not None else (below, low)
        assert start is not None
        return (start + end) // 2 if abs(end - start) > 1 else end
    if below - above <= 1:
        return above
    share = tried[above] / (tried[above] - tried[below])
    return min(max(round(above + share * (below - above)), above + 1), below - 1)
