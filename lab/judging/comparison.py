"""What a designer is worth against `control`: hypervolume at equal counts, beside what chance alone would give.

The noise is a permutation test: were the two alike, their experiments could be dealt out anew between them. (Drawing
each side again with replacement, the bootstrap, is wrong here: a best value drawn again from a larger pile is better.)
It speaks of the experiments at hand; a designer that learns from its own may differ by more in another run.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from statistics import fmean

import msgspec

from lab.judging.hypervolume import Gain, volume
from lab.judging.hypervolume import gain as gain_of
from lab.judging.intervals import Interval, band, wilson
from lab.track import Objective

DEALS = 200  # of the permutation test
SUBSETS = 8  # of the larger side, over which its volume at the smaller count is averaged
MOST = 200  # experiments compared on each side at a time, so that ten thousand cost about two seconds
Values = Sequence[float] | None  # an experiment's objectives, or None where it failed


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`gain` is the designer's hypervolume less control's, at `count` experiments each; null before both have run.

    `noise` is where 95 % of such differences lie for two that are alike. The shares are of all their proposals.
    """

    designer: str
    count: int
    gain: float | None
    noise: Interval | None
    entered: Interval  # share of the designer's experiments that were on the front when they finished
    entered_control: Interval

    @property
    def word(self) -> str:
        if self.gain is None or self.noise is None:
            return "unknown"
        if self.noise.low <= self.gain <= self.noise.high:
            return "within noise"
        return "better" if self.gain > self.noise.high else "worse"

    def __str__(self) -> str:
        if self.gain is None or self.noise is None:
            return f"{self.designer}: nothing to compare with control yet"
        return (f"{self.designer} against control, {self.count} each: hypervolume {self.gain:+.3g}, {self.word} "
                f"(chance gives {self.noise.low:+.3g} to {self.noise.high:+.3g})")


def compare(designer: str, mine: Sequence[Values], control: Sequence[Values], entered: int, entered_control: int,
            objectives: Sequence[Objective], *, seed: int) -> Comparison:
    """`mine` and `control` hold one entry an experiment, failed ones included: a designer pays for its failures."""
    count, rng = min(len(mine), len(control), MOST), Random(seed)
    gain = noise = None
    if count:
        ours, theirs = _places(mine, objectives), _places(control, objectives)
        gain = _gain(ours, theirs, count, rng)
        noise = _noise([*ours, *theirs], len(ours), len(theirs), count, rng)
    return Comparison(designer=designer, count=count, gain=gain, noise=noise,
                      entered=wilson(entered, len(mine)), entered_control=wilson(entered_control, len(control)))


def _places(side: Sequence[Values], objectives: Sequence[Objective]) -> list[Gain | None]:
    """Each experiment's place before the reference point, told once: the deals below look at it hundreds of times."""
    return [None if values is None else gain_of(values, objectives) for values in side]


def _noise(pool: Sequence[Gain | None], mine: int, control: int, count: int, rng: Random) -> Interval:
    """No side is dealt more than its draws can use."""
    mine, control = min(mine, SUBSETS * count), min(control, SUBSETS * count)
    gains = []
    for _ in range(DEALS):
        dealt = rng.sample(pool, mine + control)
        gains.append(_gain(dealt[:mine], dealt[mine:], count, rng))
    return band(gains, 0.0)


def _gain(mine: Sequence[Gain | None], control: Sequence[Gain | None], count: int, rng: Random) -> float:
    return _volume_at(mine, count, rng) - _volume_at(control, count, rng)


def _volume_at(side: Sequence[Gain | None], count: int, rng: Random) -> float:
    """The volume that `count` of the side's experiments reach, on average over a few draws without replacement."""
    draws = 1 if len(side) == count else SUBSETS
    return fmean(volume([place for place in rng.sample(side, count) if place is not None]) for _ in range(draws))
