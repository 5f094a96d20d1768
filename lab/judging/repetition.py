"""Did a repetition give the same? Deterministic metrics must be equal; timings stand beside one another. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose

import msgspec

from lab.experiment import Scores
from lab.track import Track

DIGITS = 1e-9  # a processor may sum in another order; nothing else may differ


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One metric then and now; `clip` is empty for the mean. `equal` is None where nothing promises it."""

    metric: str
    clip: str
    before: float | None
    after: float | None
    equal: bool | None


def compare(track: Track, before: Scores, after: Scores) -> list[Pair]:
    """Every metric that the score phase measures, over the mean and for each clip of either."""
    places = dict.fromkeys(("", *before.clips, *after.clips))
    return [pair for place in places for pair in _pairs(track, place, before, after)]


def _pairs(track: Track, clip: str, before: Scores, after: Scores) -> Iterator[Pair]:
    for metric in track.metrics:
        then, now = (_value(scores, clip, metric.name) for scores in (before, after))
        if not metric.derived and not (then is None and now is None):
            yield Pair(metric=metric.name, clip=clip, before=then, after=now,
                       equal=_equal(then, now) if metric.deterministic else None)


def _value(scores: Scores, clip: str, metric: str) -> float | None:
    return (scores.clips.get(clip, {}) if clip else scores.mean).get(metric)


def _equal(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is after
    return isclose(before, after, rel_tol=DIGITS, abs_tol=DIGITS)
