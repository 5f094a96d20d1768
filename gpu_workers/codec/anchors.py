"""The anchors: what codecs are measured against, and the numbers that need them.

Two ladders as people run them (x265 medium, SVT-AV1 preset 6) and one x265 medium in two passes at 10 Mbps. They are
experiments like any other, on the same frames, container and metric code. Until all points of a ladder are measured,
what depends on it is null, and the reason says that it is pending. They run on the score clips alone: a confirmation is
judged by its goals, and a ladder on the confirm clips would cost more than the three runs that it stands beside. Pure
Python, no numerical library.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import msgspec

from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.measure.savings import Point, saving_pct
from lab.experiment import Scores
from lab.track import Anchor

X265_CRFS = (16.0, 22.0, 28.0, 34.0, 40.0)
SVTAV1_CRFS = (20.0, 32.0, 44.0, 55.0, 65.0)
HEVC10 = "hevc10"

X265_LADDER = tuple(
    Anchor(name=f"x265_medium_crf{crf:g}", family="classic", params=as_people_run("x265", x265_crf=crf),
           curve="x265 medium")
    for crf in X265_CRFS)
SVTAV1_LADDER = tuple(
    Anchor(name=f"svtav1_preset6_crf{crf:g}", family="classic", params=as_people_run("svtav1", svtav1_crf=crf),
           curve="SVT-AV1 preset 6")
    for crf in SVTAV1_CRFS)
ANCHORS = (*X265_LADDER, *SVTAV1_LADDER,
           Anchor(name=HEVC10, family="classic", params=as_people_run("x265", x265_mbps=10.0)))
SAVINGS: Mapping[str, tuple[Anchor, ...]] = {"saving_x265_pct": X265_LADDER, "saving_svtav1_pct": SVTAV1_LADDER}
REDUCTION = "reduction_vs_hevc10_pct"

ELSEWHERE = "not compared: anchors run on the score clips alone, and this is none of them"

Found = tuple[float | None, str]


def derive(scores: Scores, anchors: Mapping[str, Scores]) -> Scores:
    """`scores` with the reduction and the savings, clip by clip and as their mean over the clips."""
    found = {name: {clip: _saving(ladder, clip, values, anchors) for clip, values in scores.clips.items()}
             for name, ladder in SAVINGS.items()}
    found[REDUCTION] = {clip: _reduction(clip, values, anchors) for clip, values in scores.clips.items()}
    means = {name: _mean(clips) for name, clips in found.items()}
    why = {f"{name}@{clip}": reason for name, clips in found.items() for clip, (_, reason) in clips.items() if reason}
    why |= {name: reason for name, (_, reason) in means.items() if reason}
    kept = {key: reason for key, reason in scores.why.items() if key.partition("@")[0] not in found}
    return msgspec.structs.replace(
        scores, mean={**scores.mean, **{name: value for name, (value, _) in means.items()}}, why={**kept, **why},
        clips={clip: {**values, **{name: found[name][clip][0] for name in found}}
               for clip, values in scores.clips.items()})


def _saving(ladder: tuple[Anchor, ...], clip: str, values: Mapping[str, float | None],
            anchors: Mapping[str, Scores]) -> Found:
    points = [point for anchor in ladder if (point := _point(anchors.get(anchor.name), clip)) is not None]
    if _elsewhere(anchors, clip):
        return None, ELSEWHERE
    if len(points) < len(ladder):
        return None, f"pending: {len(points)} of {len(ladder)} points of {_ladder_name(ladder)} are measured"
    mbps, psnr_db = values.get("bitrate_mbps"), values.get("psnr_y_db")
    if mbps is None or psnr_db is None:
        return None, "the experiment has no rate or no PSNR here"
    return saving_pct(points, mbps, psnr_db)


def _reduction(clip: str, values: Mapping[str, float | None], anchors: Mapping[str, Scores]) -> Found:
    point, mbps = _point(anchors.get(HEVC10), clip), values.get("bitrate_mbps")
    if _elsewhere(anchors, clip):
        return None, ELSEWHERE
    if point is None:
        return None, f"pending: anchor {HEVC10} is not measured yet"
    return (None, "the experiment has no rate here") if mbps is None else (100 * (1 - mbps / point[0]), "")


def _elsewhere(anchors: Mapping[str, Scores], clip: str) -> bool:
    """Whether anchors have run, and none of them on this clip."""
    return bool(anchors) and not any(clip in scores.clips for scores in anchors.values())


def _point(scores: Scores | None, clip: str) -> Point | None:
    values = scores.clips.get(clip, {}) if scores else {}
    mbps, psnr_db = values.get("bitrate_mbps"), values.get("psnr_y_db")
    return None if mbps is None or psnr_db is None else (mbps, psnr_db)


def _ladder_name(ladder: tuple[Anchor, ...]) -> str:
    return ladder[0].name.rpartition("_crf")[0]


def _mean(clips: Mapping[str, Found]) -> Found:
    gaps = [(clip, reason) for clip, (value, reason) in clips.items() if value is None]
    if not gaps:
        return fmean(value for value, _ in clips.values() if value is not None), ""
    everywhere = len(gaps) == len(clips) and len({reason for _, reason in gaps}) == 1
    return None, gaps[0][1] if everywhere else f"{gaps[0][0]}: {gaps[0][1]}"
