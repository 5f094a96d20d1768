"""One experiment as a page for a terminal, and as one document for a machine: nothing that was kept is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.live import goal_table, verdict_style
from cli.models import facts
from cli.output import clean, moment, number, seconds, table
from cli.picture import Series, axis, scatter
from cli.watch import Best, GoalLine, Watch, goal_lines
from cli.words import PARTIAL, REFUTED, UNPROVEN, label, resumes, verdict
from lab.backend import Store
from lab.errors import AetherError
from lab.experiment import Attempt, Experiment, Scores
from lab.model import Model, model_of
from lab.money import usd
from lab.training import Curve, curves
from lab.words import count

LOG = "log.txt"  # what the worker keeps of a phase's output
LOG_LINES = 25
LOG_FROM = 20  # times its least value that a curve must span for a logarithmic axis
MOST_CLIPS = 4  # as columns of their own; the JSON form has all


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """`scores` with what follows from the anchors; `log_end` of the phase that failed. `phase_s` are wall clock of the
    phases that ended, in their order; `training` is what the training claimed of itself."""

    experiment: Experiment
    scores: Scores | None
    goals: tuple[GoalLine, ...]
    explanation: str
    cost_usd: float
    log_end: str
    refuted: bool = False  # on clips that no designer has seen
    unproven: bool = False  # it ran on them as well, which proves nothing of code from outside that misses a goal
    phase_s: dict[str, float] = {}
    training: tuple[Curve, ...] = ()
    model: Model | None = None
    schema: int = 1


def dossier(watch: Watch, experiment: Experiment) -> Dossier:
    stored = experiment.outcome.scores if experiment.outcome else None
    scores = watch.track.derive(stored, watch.view.anchors) if stored else None
    failed = experiment.outcome is not None and experiment.outcome.verdict == "failed"
    return Dossier(experiment=experiment, scores=scores, goals=goal_lines(watch.verdicts(experiment)),
                   explanation=watch.track.explain(scores) if scores else "",
                   cost_usd=experiment.cost_microusd / 1_000_000,
                   log_end=_log_end(watch.backend.store, experiment) if failed else "",
                   refuted=watch.refuted(experiment.id), unproven=watch.unproven(experiment.id),
                   phase_s=_phase_s(watch, experiment),
                   training=curves(experiment, watch.track, watch.backend.store),
                   model=model_of(experiment, watch.track, watch.backend.store))


def page(watch: Watch, found: Dossier) -> Iterator[RenderableType]:
    experiment = found.experiment
    ended = experiment.state in ("finished", "cancelled")
    stands = verdict(experiment.outcome) if ended else experiment.state
    stands += f": {PARTIAL}" if stands == "partial" else ""
    if experiment.state == "queued":
        there = resumes(experiment, watch.track)
        stands += f": a worker goes on {there}" if there else ": it waits for a worker"
    yield Text.assemble((experiment.id, "bold"), "  ", (clean(label(experiment, watch.track)), "cyan"), "  ",
                        (stands, verdict_style(stands)))
    if experiment.outcome is not None and experiment.outcome.detail:
        yield Text(clean(experiment.outcome.detail), style="red")
    if experiment.outcome is not None and experiment.outcome.sandboxed is False:
        yield Text("NOT SANDBOXED: it ran as plain processes", style="bold red")
    if found.refuted:
        yield Text(REFUTED, style="yellow")
    if found.unproven:
        yield Text(UNPROVEN, style="yellow")
    yield Text(clean(found.explanation))
    yield _facts(experiment, found.phase_s)
    if experiment.spec.params:
        yield table("parameter", "value", rows=[[k, str(v)] for k, v in experiment.spec.params.items()])
        yield ""
    if found.goals:
        yield Text("Goals", style="bold")
        yield goal_table(Best(id=experiment.id, what="", status="", meets=False, goals=found.goals))
        yield ""
    if found.scores is not None:
        yield from _metrics(watch, found.scores)
    yield from _learned(watch, found)
    yield from _attempts(experiment)
    yield from _files(experiment)
    if found.log_end:
        yield Text("The log's end", style="bold")
        yield Text(clean(found.log_end), style="dim")


def _facts(experiment: Experiment, phase_s: Mapping[str, float]) -> Table:
    spec, rows = experiment.spec, Table.grid(padding=(0, 2))
    facts = {
        "hypothesis": experiment.hypothesis, "prediction": _numbers(experiment.prediction),
        "purpose": f"{experiment.purpose}, proposed by {experiment.designer}",
        "lineage": ", ".join([*(f"of {parent}" for parent in experiment.parents),
                              *([f"repeats {experiment.repeats}"] if experiment.repeats else [])]),
        "proposed": f"{moment(experiment.created_at)} UTC, under settings revision {experiment.settings or 'none'}",
        "runs as": f"{spec.track}/{spec.family}, seed {spec.seed}, protocol {spec.protocol}, class {spec.job_class}",
        "cost": f"{usd(experiment.cost_microusd)} for {seconds(sum(a.used_s for a in experiment.attempts))} in "
                f"{count(len(experiment.attempts), 'attempt')}",
        "phases": ", ".join(f"{name} {seconds(took)}" for name, took in phase_s.items()),
        "fingerprint": experiment.fingerprint, "clip set": spec.clips, "code": spec.code or "",
    }
    for name, fact in facts.items():
        if fact:
            rows.add_row(Text(name, style="dim"), Text(clean(fact), overflow="fold"))
    rows.add_row("")
    return rows


def _metrics(watch: Watch, scores: Scores) -> Iterator[RenderableType]:
    clips = list(scores.clips)[:MOST_CLIPS]
    names = [metric.name for metric in watch.track.metrics if metric.name in scores.mean]
    known = [name for name in names if scores.mean[name] is not None
             or any(values.get(name) is not None for values in scores.clips.values())]
    yield table("metric", "mean", *clips, right=("mean", *clips), rows=[
        [name + (" (claimed)" if scores.provenance.get(name) == "claimed" else ""), number(scores.mean[name]),
         *(number(scores.clips[clip].get(name)) for clip in clips)] for name in known])
    if len(scores.clips) > len(clips):
        yield Text(f"{len(clips)} of {count(len(scores.clips), 'clip')} shown; --json has all", style="dim")
    missing = {name: scores.why.get(name, "no reason was given") for name in names if name not in known}
    yield ""
    if missing:
        yield Text("Not measured", style="bold")
        yield _pairs(missing)
        yield ""
    yield Text(f"Timings were taken on {scores.device_class or 'an unnamed device'}.", style="dim")
    yield ""


def _learned(watch: Watch, found: Dossier) -> Iterator[RenderableType]:
    """The model, what its decoder costs, and the curves of its training."""
    if found.model is not None:
        yield Text("Model", style="bold")
        yield _pairs({name: value for name, value in facts(found.model).items() if value})
        yield ""
    if found.training:
        last = ", ".join(f"{curve.name} {number(curve.last)}" for curve in found.training)
        yield Text.assemble(("Training", "bold"), (f"   as it says itself; at its end {last}", "dim"))
        yield _curve(found.training[0])
        yield ""


def _curve(curve: Curve) -> Text:
    values = [y for _, y in curve.points]
    up = axis(curve.name, values, log=min(values) > 0 and max(values) > LOG_FROM * min(values))
    series = Series(name=curve.name, points=curve.points, style="cyan")
    return scatter([series], axis(curve.over, [x for x, _ in curve.points], log=False), up, width=70, height=10)


def _phase_s(watch: Watch, experiment: Experiment) -> dict[str, float]:
    left = experiment.checkpoints
    return {phase.name: left[phase.name].seconds for phase in watch.track.phases(experiment.spec)
            if phase.name in left and left[phase.name].done}


def _attempts(experiment: Experiment) -> Iterator[RenderableType]:
    if not experiment.attempts:
        return
    yield table("attempt", "ended", "worked", "phases", "worker", "said", right=("attempt", "worked"), rows=[
        [str(a.fence), a.ending or "running", seconds(a.used_s),
         ", ".join(f"{name} {seconds(took)}" for name, took in a.phases.items()), place(a), a.detail]
        for a in experiment.attempts])
    yield ""


def place(attempt: Attempt) -> str:
    """Who ran it, and on what: the device, and the machine where it was a rented one."""
    rented = attempt.machine
    bought = f", {rented.type} {'spot' if rented.spot else 'on demand'} in {rented.zone}" if rented is not None else ""
    return f"{attempt.worker} ({attempt.device_class}{bought})"


def _files(experiment: Experiment) -> Iterator[RenderableType]:
    kept = {f"{phase}/{name}": hash for phase, left in experiment.checkpoints.items()
            for name, hash in left.outputs.items()}
    if kept:
        yield Text("Files in the store", style="bold")
        yield _pairs(kept)
        yield ""


def _pairs(pairs: Mapping[str, str]) -> Table:
    rows = Table.grid(padding=(0, 2))
    for name, value in pairs.items():
        rows.add_row(Text("  " + clean(name), overflow="fold"), Text(clean(value), style="dim", overflow="fold"))
    return rows


def _numbers(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in values.items())


def _log_end(store: Store, experiment: Experiment) -> str:
    """Of the phase that did not get done, else of the last."""
    left = list(experiment.checkpoints.values())
    logs = [one.outputs[LOG] for one in sorted(left, key=lambda one: one.done) if LOG in one.outputs]
    if not logs:
        return ""
    try:
        text = store.read(logs[0]).decode(errors="replace")
    except AetherError as error:
        return f"the log cannot be read: {error}"
    return "\n".join(text.rstrip().splitlines()[-LOG_LINES:])
