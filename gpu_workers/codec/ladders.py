"""The ladders of `aether codec bench`: each encoder at several qualities, as people run it and tuned for PSNR.

An encoder that is tuned for the eye gives up PSNR on purpose (1 dB apart at 0.8 Mbps in one trial of x265 and VVenC),
so a comparison by PSNR shows both. SVT-AV1 as people run it is tuned for PSNR already (`tune=1` is its default).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gpu_workers.codec.anchors import SVTAV1_LADDER, X265_LADDER
from gpu_workers.codec.families.classic_space import SPACE, as_people_run
from lab.errors import NotFound
from lab.experiment import Spec
from lab.space import Choice, Value
from lab.track import Anchor

VVENC_QPS = (18, 24, 30, 36, 42)
SPREAD = (-12, -6, 0, 6, 12)  # of a given configuration's own crf or qp, for its ladder


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """One encoder's points, best quality first. `family` is whose agents code it."""

    name: str
    points: tuple[Mapping[str, Value], ...]
    family: str = "classic"


def _of(name: str, anchors: Sequence[Anchor]) -> Ladder:
    return Ladder(name=name, points=tuple(anchor.params for anchor in anchors))


def _x265_for_psnr() -> Ladder:
    points = (as_people_run("x265", x265_crf=anchor.params["x265_crf"], x265_tune="psnr") for anchor in X265_LADDER)
    return Ladder(name="x265_medium_psnr", points=tuple(points))


def _vvenc(name: str, qpa: bool) -> Ladder:
    return Ladder(name=name, points=tuple(as_people_run("vvenc", vvenc_qp=qp, vvenc_qpa=qpa) for qp in VVENC_QPS))


X265 = _of("x265_medium", X265_LADDER)
SVTAV1 = _of("svtav1_preset6", SVTAV1_LADDER)
LADDERS = (X265, _x265_for_psnr(), SVTAV1, _vvenc("vvenc_faster", True), _vvenc("vvenc_faster_psnr", False))
ANCHORS = (X265.name, SVTAV1.name)  # what BD-rates are told against


def ladder(name: str) -> Ladder:
    """By its name, or the first of that encoder. Raises NotFound, naming those there are."""
    for one in LADDERS:
        if name in (one.name, one.name.partition("_")[0]):  # an encoder's own name means its first ladder
            return one
    raise NotFound(f"no ladder {name!r}; there are {', '.join(one.name for one in LADDERS)}")


def ladder_of(name: str, spec: Spec) -> Ladder:
    """A champion's ladder: its own configuration at coarser and finer constant quality. One that asks for a rate
    instead is laddered by halving and doubling it."""
    encoder = str(spec.params["encoder"])
    knob = f"{encoder}_{spec.params[f'{encoder}_rate']}"
    centre = spec.params[knob]
    if not isinstance(centre, (int, float)):
        raise TypeError(f"{knob} is {centre!r}, which is no number")
    steps = [centre * 2.0 ** (step / 6) for step in SPREAD] if knob.endswith("_mbps") else [centre + s for s in SPREAD]
    low, high = _range(knob)
    values = sorted({type(centre)(min(max(value, low), high)) for value in steps}, reverse=knob.endswith("_mbps"))
    return Ladder(name=name, family=spec.family, points=tuple({**spec.params, knob: value} for value in values))


def _range(knob: str) -> tuple[float, float]:
    dimension = next(one for one in SPACE if one.name == knob)
    assert not isinstance(dimension, Choice)
    return dimension.low, dimension.high
