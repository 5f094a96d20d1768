"""Whose turn it is to propose. The shares hold at every moment, not only in the long run, and control's is a floor."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from random import Random

CONTROL = "control"
CONTROL_SHARE = 0.15


def pick_designer(mix: Mapping[str, float], counts: Mapping[str, int], seed: int,
                  control_share: float = CONTROL_SHARE) -> str:
    """The designer of the next proposal, given how many each has made.

    `mix` holds weights; control gets its part of them, and never less than floor(control_share × n) of n proposals.
    The one that lags furthest behind its share goes next; the seed only decides between equals.
    """
    shares = designer_shares(mix, control_share)
    after = sum(counts.values()) + 1
    if counts.get(CONTROL, 0) < floor(control_share * after + 1e-9):
        return CONTROL
    rng = Random(f"{seed}/{after}")
    order = rng.sample(sorted(shares), len(shares))
    return max(order, key=lambda name: shares[name] * after - counts.get(name, 0))


def designer_shares(mix: Mapping[str, float], control_share: float = CONTROL_SHARE) -> dict[str, float]:
    """The weights as shares of one, the others shrunk alike where control would fall below its floor.

    Raises ValueError for a negative weight. Without any weight, all goes to control.
    """
    if any(weight < 0 for weight in mix.values()):
        raise ValueError("a designer's weight cannot be negative")
    others = {name: weight for name, weight in mix.items() if name != CONTROL and weight > 0}
    total = sum(others.values()) + mix.get(CONTROL, 0.0)
    if not others:
        return {CONTROL: 1.0}
    control = max(control_share, mix.get(CONTROL, 0.0) / total)
    scale = (1.0 - control) / sum(others.values())
    return {CONTROL: control} | {name: weight * scale for name, weight in others.items()}
