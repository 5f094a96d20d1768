"""Two experiments beside each other: what differs in their specifications, and how far their numbers lie apart."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from cli.output import number, table
from cli.watch import Watch
from cli.words import verdict
from lab.experiment import Experiment, Scores
from lab.track import Metric


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    a: Any
    b: Any


class MetricPair(msgspec.Struct, frozen=True, kw_only=True):
    """`change` is b - a; `better` says which of the two is, where the metric has a good direction."""

    metric: str
    a: float | None
    b: float | None
    change: float | None
    better: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    a: str
    b: str
    spec: tuple[Pair, ...]
    metrics: tuple[MetricPair, ...]
    comparable: bool  # same clips and protocol; timings also need the same device class
    timings_comparable: bool
    schema: int = 1


def compare(watch: Watch, a: Experiment, b: Experiment) -> Difference:
    left, right = _scores(watch, a), _scores(watch, b)
    same = a.spec.clips == b.spec.clips and a.spec.protocol == b.spec.protocol and a.spec.track == b.spec.track
    device = bool(left and right and left.device_class == right.device_class)
    pairs = [_metric_pair(m, (a.id, b.id), left.mean.get(m.name), right.mean.get(m.name),
                          same and (m.deterministic or device))
             for m in watch.track.metrics] if left and right else []
    return Difference(a=a.id, b=b.id, spec=tuple(_spec_pairs(a, b)), comparable=same, timings_comparable=device,
                      metrics=tuple(pair for pair in pairs if pair.a is not None or pair.b is not None))


def show(out: Console, found: Difference) -> None:
    if found.spec:
        out.print(table("differs", found.a, found.b, rows=[[p.name, _word(p.a), _word(p.b)] for p in found.spec]))
    else:
        out.print("nothing differs in what was asked for")
    out.print()
    if not found.metrics:
        out.print("one of them has no scores, so there are no numbers to compare", style="dim")
        return
    out.print(table("metric", found.a, found.b, "change", "better", right=(found.a, found.b, "change"), rows=[
        [p.metric, number(p.a), number(p.b), "–" if p.change is None else f"{p.change:+.3g}", p.better]
        for p in found.metrics]))
    if not found.comparable:
        out.print(Text("\nTheir clips or protocols differ: no number of one says anything about the other.",
                       style="yellow"))
    elif not found.timings_comparable:
        out.print(Text("\nTheir timings come from different devices and are not compared.", style="yellow"))


def _spec_pairs(a: Experiment, b: Experiment) -> list[Pair]:
    left, right = _spec_values(a), _spec_values(b)
    return [Pair(name=name, a=left.get(name), b=right.get(name)) for name in {**left, **right}
            if left.get(name) != right.get(name)]


def _spec_values(experiment: Experiment) -> dict[str, Any]:
    spec = experiment.spec
    return {"outcome": verdict(experiment.outcome) if experiment.outcome else experiment.state,
            "purpose": experiment.purpose, "designer": experiment.designer, "family": spec.family, "seed": spec.seed,
            "clips": spec.clips[:12], "protocol": spec.protocol, "code": spec.code} | dict(spec.params)


def _scores(watch: Watch, experiment: Experiment) -> Scores | None:
    scores = experiment.outcome.scores if experiment.outcome else None
    return watch.track.derive(scores, watch.view.anchors) if scores else None


def _metric_pair(metric: Metric, names: tuple[str, str], a: float | None, b: float | None,
                 comparable: bool) -> MetricPair:
    change = b - a if a is not None and b is not None and comparable else None
    better = ""
    if change and metric.better != "neither":
        better = names[int((change < 0) == (metric.better == "lower"))]
    return MetricPair(metric=metric.name, a=a, b=b, change=change, better=better)


def _word(value: Any) -> str:
    return "–" if value is None else str(value)
