"""What interruptions cost on a machine that may be taken at any time, and how often to keep a checkpoint against them.

Pure functions. Interruptions come independently at a rate an hour, so the time to the next is exponential.
"""

from __future__ import annotations

import math

WORTH = 2.0  # times its length that a phase may be expected to be billed, before it is refused
STRETCH_MOST = 700.0  # beyond this exponent a float overflows; nobody waits for e^700 hours


def checkpoint_interval_s(cost_s: float, interruptions_per_h: float, least_s: float) -> float:
    """The seconds between checkpoints at which keeping them and losing work cost least together: √(2·cost/rate).

    Source: J. W. Young, "A first order approximation to the optimum checkpoint interval", CACM 17 (9), 1974. It holds
    where the interval is short beside the time between interruptions. Never below `least_s`, which it is where nothing
    interrupts.
    """
    if interruptions_per_h <= 0:
        return least_s
    return max(least_s, math.sqrt(2 * cost_s * 3600 / interruptions_per_h))


def expected_billed_h(work_h: float, interruptions_per_h: float, interval_h: float = math.inf,
                      cost_h: float = 0.0) -> float:
    """The hours billed until so many hours of work are done, where each interruption takes the work since the last
    checkpoint: (e^(λt) − 1)/λ for each stretch of t hours that is done or lost as a whole.
    """
    if interruptions_per_h <= 0:
        return work_h + (cost_h * work_h / interval_h if interval_h < work_h else 0.0)
    if interval_h >= work_h:
        return _stretch_h(work_h, interruptions_per_h)
    return work_h / interval_h * _stretch_h(interval_h + cost_h, interruptions_per_h)


def too_dear(limit_s: float, interruptions_per_h: float) -> str:
    """Why a phase that may take so long has to leave checkpoints: else it may be billed for more than twice its length.
    Empty where it need not."""
    hours = limit_s / 3600
    billed_h = expected_billed_h(hours, interruptions_per_h)
    if billed_h <= WORTH * hours:
        return ""
    return (f"may take {hours:.3g} h; on a spot machine with {interruptions_per_h:g} interruptions an hour that bills "
            f"{billed_h:,.0f} h. Lower limits.phase_s, or run it on a machine that stays")


def _stretch_h(length_h: float, interruptions_per_h: float) -> float:
    exponent = length_h * interruptions_per_h
    return math.expm1(exponent) / interruptions_per_h if exponent < STRETCH_MOST else math.inf
