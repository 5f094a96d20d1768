"""What the experiments teach about parameters, told with what chance alone would show. All pure.

The answer of a configuration is its last objective at equal first objective (quality at equal rate): what is left over
the straight line through all experiments, first objective on its own scale. Each setting is compared with the others
of the same parameter. Chance is the largest such difference anywhere after the answers were dealt out anew (Westfall
and Young, 1993), so that looking at many parameters does not make one of them look special. Designers choose their
experiments together with their other parameters: a difference is where to look, not a cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log, sqrt
from random import Random
from statistics import StatisticsError, linear_regression, median

import msgspec

from lab.space import Value
from lab.track import Objective

DEALS = 200
LATEST = 500  # experiments looked at, so that ten thousand cost no more
LEAST = 3  # experiments on each side
ENOUGH = 8  # experiments in all, before anything is said
FEW_LEVELS = 4  # numbers with more values are split at their median


class Trial(msgspec.Struct, frozen=True):
    """A configuration that was measured. The family counts as one of its parameters."""

    params: Mapping[str, Value]
    values: tuple[float, ...]  # the objectives'


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """`gain` is how much better (positive) the setting answered, in the unit of the last objective; within `chance`
    it is nothing."""

    setting: str
    against: str
    gain: float
    chance: float
    count: int
    count_against: int

    @property
    def real(self) -> bool:
        return abs(self.gain) > self.chance


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """`compared` settings; those beyond chance in `effects`, largest first; `trials` they were drawn from."""

    trials: int
    compared: int = 0
    effects: tuple[Effect, ...] = ()


class _Contrast(msgspec.Struct, frozen=True):
    setting: str
    against: str
    mine: tuple[int, ...]
    others: tuple[int, ...]

    @property
    def scale(self) -> float:
        return sqrt(1 / len(self.mine) + 1 / len(self.others))


def learn(trials: Sequence[Trial], objectives: Sequence[Objective], *, seed: int) -> Learned:
    """`trials` in the order in which they were proposed."""
    looked_at = trials[-LATEST:]
    contrasts = _contrasts([trial.params for trial in looked_at])
    if len(looked_at) < ENOUGH or not contrasts:
        return Learned(trials=len(looked_at))
    answers = _answers([trial.values for trial in looked_at], objectives)
    bar = _chance(contrasts, answers, seed)
    effects = [Effect(setting=c.setting, against=c.against, gain=_gain(c, answers), chance=bar * c.scale,
                      count=len(c.mine), count_against=len(c.others)) for c in contrasts]
    real = sorted((e for e in effects if e.real), key=lambda e: -abs(e.gain))
    return Learned(trials=len(looked_at), compared=len(effects), effects=tuple(real))


def _answers(values: Sequence[tuple[float, ...]], objectives: Sequence[Objective]) -> list[float]:
    """How much better than the line each did on the last objective; with one objective, than the mean."""
    last = objectives[-1]
    sign = 1.0 if last.direction == "max" else -1.0
    answers = [sign * _placed(row[-1], last) for row in values]
    if len(objectives) < 2:
        return answers
    places = [_placed(row[0], objectives[0]) for row in values]
    try:
        slope, start = linear_regression(places, answers)
    except StatisticsError:  # all at the same place: there is no line, and none is needed
        return answers
    return [answer - start - slope * place for place, answer in zip(places, answers, strict=True)]


def _placed(value: float, objective: Objective) -> float:
    return log(max(value, 1e-12)) if objective.log else value


def _contrasts(params: Sequence[Mapping[str, Value]]) -> list[_Contrast]:
    names = dict.fromkeys(name for point in params for name in point)
    found = [contrast for name in names for contrast in _of_parameter(name, params)]
    return [c for c in found if len(c.mine) >= LEAST and len(c.others) >= LEAST]


def _of_parameter(name: str, params: Sequence[Mapping[str, Value]]) -> list[_Contrast]:
    """A number of many values against its median; a choice, each value against the others."""
    known = {index: point[name] for index, point in enumerate(params) if name in point}
    numbers = {i: v for i, v in known.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    if len(numbers) == len(known) and len(set(numbers.values())) > FEW_LEVELS:
        middle = median(numbers.values())
        above = tuple(i for i, v in numbers.items() if v > middle)
        below = tuple(i for i, v in numbers.items() if v <= middle)
        return [_Contrast(f"{name} above {middle:.4g}", "at or below it", above, below)]
    levels = [value for value, _ in Counter(known.values()).most_common()]
    chosen = levels[:1] if len(levels) == 2 else levels
    return [_Contrast(f"{name} {_word(level)}", _others(levels, level),
                      tuple(i for i, v in known.items() if v == level),
                      tuple(i for i, v in known.items() if v != level)) for level in chosen]


def _others(levels: Sequence[Value], level: Value) -> str:
    return _word(next(v for v in levels if v != level)) if len(levels) == 2 else "the others"


def _word(value: Value) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _gain(contrast: _Contrast, answers: Sequence[float]) -> float:
    mine, others = (sum(answers[i] for i in side) / len(side) for side in (contrast.mine, contrast.others))
    return mine - others


def _chance(contrasts: Sequence[_Contrast], answers: Sequence[float], seed: int) -> float:
    """What the largest of all contrasts, in units of its scale, reaches in 19 of 20 deals."""
    rng, largest = Random(seed), list[float]()
    for _ in range(DEALS):
        dealt = rng.sample(answers, len(answers))
        largest.append(max(abs(_gain(c, dealt)) / c.scale for c in contrasts))
    return sorted(largest)[round(0.95 * (DEALS - 1))]
