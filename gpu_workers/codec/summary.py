"""From the numbers of each clip to the `Scores` of an experiment: means by each metric's own rule, reasons for gaps.

Pure. A mean exists where every clip has the number; else it is null, and the reason names the first clip without.
Reasons are keyed by the metric's name, or `NAME@CLIP` for one clip's. NaN and infinity never pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, harmonic_mean
from typing import Literal

import msgspec

from gpu_workers.codec.metrics import METRICS
from lab.experiment import Scores

Number = float | None
MEANS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "encode_fps": harmonic_mean,  # of a rate: equal work at each speed
    "decode_fps": harmonic_mean,
    "decode_peak_mb": max,
    "worst_psnr_y_db": min,
}
NO_MEAN = {"worst_frame": "a frame's number has no mean"}
NOT_MEASURED = "not measured"


class ClipScores(msgspec.Struct, frozen=True, kw_only=True):
    """One clip's numbers by metric, and why those that are null are."""

    values: dict[str, Number]
    why: dict[str, str] = {}


def summarise(clips: Mapping[str, ClipScores], device_class: str, artefacts: dict[str, str],
              claimed: Sequence[str] = ()) -> Scores:
    """Every measured metric of the track stands in every clip and in the mean, be it null. Raises ValueError for a
    number without a definition."""
    checked = {name: _checked(clip) for name, clip in clips.items()}
    mean, why = dict[str, Number](), dict[str, str]()
    for metric in _MEASURED:
        mean[metric], reason = _mean(metric, checked)
        why |= {metric: reason} if reason else {}
    for name, clip in checked.items():
        why |= {f"{metric}@{name}": reason for metric, reason in clip.why.items()}
    provenance: dict[str, Literal["measured", "claimed"]] = {
        metric: "claimed" if metric in claimed else "measured" for metric in _MEASURED if mean[metric] is not None}
    return Scores(mean=mean, clips={name: clip.values for name, clip in checked.items()}, why=why,
                  device_class=device_class, artefacts=artefacts, provenance=provenance)


def mean_of(metric: str, values: Sequence[float]) -> float:
    return MEANS.get(metric, fmean)(values)


_MEASURED = tuple(metric.name for metric in METRICS if not metric.derived)


def _checked(clip: ClipScores) -> ClipScores:
    if unknown := clip.values.keys() - set(_MEASURED):
        raise ValueError(f"{', '.join(sorted(unknown))} stands in no definition; add it to metrics.py")
    values, why = dict[str, Number](), dict[str, str]()
    for metric in _MEASURED:
        value = clip.values.get(metric)
        finite = value is not None and math.isfinite(value)
        values[metric] = value if finite else None
        if not finite:
            why[metric] = clip.why.get(metric) or (NOT_MEASURED if value is None else f"{value} is no finite number")
    return ClipScores(values=values, why=why)


def _mean(metric: str, clips: Mapping[str, ClipScores]) -> tuple[Number, str]:
    if metric in NO_MEAN:
        return None, NO_MEAN[metric]
    gaps = [(name, clip.why[metric]) for name, clip in clips.items() if metric in clip.why]
    if gaps:
        everywhere = len(gaps) == len(clips) and len({reason for _, reason in gaps}) == 1
        return None, gaps[0][1] if everywhere else f"{gaps[0][0]}: {gaps[0][1]}"
    return mean_of(metric, [value for clip in clips.values() if (value := clip.values[metric]) is not None]), ""
