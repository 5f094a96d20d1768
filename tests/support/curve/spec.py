"""The curve track as the rest of the house knows it: two families, two objectives, two anchors, and phases that take
milliseconds. What is scored is deterministic but for `fit_ms`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from lab.errors import UserError
from lab.experiment import Scores, Spec
from lab.space import Choice, Integer, Real
from lab.track import Anchor, Family, Goal, Metric, Objective, Phase, Track

FIT = Phase(name="fit", entry="support.curve.phases:fit", inputs=("clips:train",), outputs=("curve.json",),
            live="descent.json", limit_s=200.0)
SCORE = Phase(name="score", entry="support.curve.phases:score", inputs=("clips:score", "fit/curve.json"),
              outputs=("scores.json",), trusted=True, limit_s=200.0)
POLYNOMIAL = Family(name="polynomial", space=(Integer(name="degree", low=0, high=12),
                                              Real(name="ridge", low=1e-6, high=10, log=True)))
DESCENT = Family(name="descent", learned=True, space=(
    Integer(name="degree", low=0, high=6), Integer(name="steps", low=10, high=200, step=10),
    Choice(name="rate", values=(0.01, 0.03, 0.1, 0.3))))
METRICS = (
    Metric(name="coefficients", unit="", better="lower", definition="numbers that describe the curve", source="ours"),
    Metric(name="fit_db", unit="dB", better="higher", definition="10 lg of the points' variance over the error's",
           source="ours"),
    Metric(name="fit_ms", unit="ms", better="lower", definition="time to fit", source="ours", deterministic=False),
    Metric(name="gain_line_db", unit="dB", better="higher", definition="fit_db above the anchor `line`", source="ours",
           derived=True))
GOALS = (Goal(metric="fit_db", relation=">=", value=10.0), Goal(metric="coefficients", relation="<=", value=6.0))
OBJECTIVES = (Objective(metric="coefficients", direction="min", reference=16, log=True),
              Objective(metric="fit_db", direction="max", reference=-10))
ANCHORS = (Anchor(name="line", family="polynomial", params={"degree": 1, "ridge": 1e-6}),
           Anchor(name="cubic", family="polynomial", params={"degree": 3, "ridge": 1e-6}))


def derive(own: Scores, anchors: Mapping[str, Scores]) -> Scores:
    line = anchors["line"].mean.get("fit_db") if "line" in anchors else None
    fit = own.mean.get("fit_db")
    if line is None or fit is None:
        return replace(own, mean={**own.mean, "gain_line_db": None}, why={**own.why, "gain_line_db": "no anchor yet"})
    return replace(own, mean={**own.mean, "gain_line_db": fit - line})


def facts(path: Path) -> dict[str, Any]:
    lines = path.read_text().split()
    if not lines or any(line.count(",") != 1 for line in lines):
        raise UserError(f"{path} is no list of points: write one x,y a line")
    return {"points": len(lines)}


def _phases(spec: Spec) -> tuple[Phase, ...]:
    return (FIT, SCORE)


def _explain(scores: Scores) -> str:
    return f"{scores.mean.get('coefficients') or 0:g} coefficients"


def _not_applicable(spec: Spec) -> frozenset[str]:
    return frozenset()


TRACK = Track(name="curve", protocol=1, families=(POLYNOMIAL, DESCENT), metrics=METRICS, objectives=OBJECTIVES,
              goals=GOALS, phases=_phases, anchors=ANCHORS, derive=derive, facts=facts, not_applicable=_not_applicable,
              explain=_explain)
