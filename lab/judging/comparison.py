"""What a designer is worth against `control`: the same count of experiments from each, with the noise band said.

The bands hold for the experiments at hand, drawn again; another run of the same designer may differ by more.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from statistics import median

import msgspec

from lab.judging.hypervolume import hypervolume
from lab.judging.intervals import Interval, band, wilson
from lab.track import Objective

DRAWS = 400
Values = Sequence[float] | None  # an experiment's objectives, or None where it failed


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`gain` is the designer's hypervolume less control's at `count` experiments each; the shares are of proposals."""

    designer: str
    count: int
    gain: Interval | None  # null while either side has no experiment
    entered: Interval  # share of the designer's proposals that were on the front when they finished
    entered_control: Interval

    def __str__(self) -> str:
        if self.gain is None:
            return f"{self.designer}: nothing to compare with control yet"
        word = "within noise" if not self.gain.excludes_zero else "better" if self.gain.value > 0 else "worse"
        return f"{self.designer} against control, {self.count} each: hypervolume {self.gain}, {word}"


def compare(designer: str, mine: Sequence[Values], control: Sequence[Values], entered: int, entered_control: int,
            objectives: Sequence[Objective], *, seed: int) -> Comparison:
    """`mine` and `control` hold one entry an experiment, failed ones included: a designer pays for its failures."""
    return Comparison(designer=designer, count=min(len(mine), len(control)),
                      gain=hypervolume_gain(mine, control, objectives, seed=seed),
                      entered=wilson(entered, len(mine)), entered_control=wilson(entered_control, len(control)))


def hypervolume_gain(mine: Sequence[Values], control: Sequence[Values], objectives: Sequence[Objective], *,
                     seed: int, draws: int = DRAWS) -> Interval | None:
    """The difference at equal counts: as many as the smaller side has, drawn with replacement from each side."""
    count = min(len(mine), len(control))
    if count == 0:
        return None
    rng = Random(seed)

    def volume(side: Sequence[Values]) -> float:
        return hypervolume([v for v in rng.choices(side, k=count) if v is not None], objectives)

    differences = [volume(mine) - volume(control) for _ in range(draws)]
    return band(differences, median(differences))
