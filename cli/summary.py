"""What a run has found: the front as a table and a picture, the champion, the money, and where the report lies."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from cli.experiment_page import Dossier, dossier
from cli.live import best_lines, money_text, unit_of
from cli.output import number, seconds, shown_path, table
from cli.picture import Axis, Series, axis, legend, scatter
from cli.watch import Status, Watch
from cli.words import configuration, refuted, resumes, unproven
from lab.experiment import Experiment
from lab.judging.pareto import Point, front
from lab.words import count

ROWS = 10
FEW = 100  # experiments that are drawn as marks; more become dots
REPORT = "report.html"


class FrontLine(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    what: str
    designer: str
    values: dict[str, float | None]  # of the objectives, then of the goals' metrics
    goals_met: int
    goals: int  # that apply
    refuted: bool = False  # on clips that no designer has seen


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    why: str
    elapsed_s: float
    explored: int  # that ended in this run
    experiments: int
    status: Status
    front: tuple[FrontLine, ...]
    report: str
    candidate: Dossier | None = None  # a person's own, where the run was for one
    schema: int = 1


def conclude(watch: Watch, why: str, elapsed_s: float, before: Collection[str],
             own: Experiment | None = None) -> Summary:
    """`before`: the ids of those that had ended when the run began."""
    workplace = watch.backend.workplace
    report = workplace / REPORT if workplace is not None else Path()
    ended = sum(id in watch.view.ended and id not in before for id in watch.view.explored)
    return Summary(why=why, elapsed_s=elapsed_s, explored=ended, experiments=watch.view.count,
                   status=watch.status(time.time()), front=tuple(front_lines(watch)),
                   report=str(report) if report.is_file() else "", candidate=dossier(watch, own) if own else None)


def show(out: Console, watch: Watch, found: Summary) -> None:
    out.print(Text.assemble(("\n" + (found.why or "ended") + ".  ", "bold"),
                            f"{count(found.explored, 'experiment')} explored in {seconds(found.elapsed_s)}; "
                            f"{found.experiments} in this laboratory.\n"))
    _show_front(out, watch, found)
    if found.front:
        for part in best_lines(found.status):
            out.print(part)
        out.print()
    out.print(money_text(found.status.money))
    for line in kept_lines(watch):
        out.print(line, style="dim", markup=False)
    if found.report:
        out.print(Text.assemble("Report: ", (shown_path(Path(found.report)), "bold cyan")), soft_wrap=True)


def kept_lines(watch: Watch) -> list[str]:
    """What the run leaves for the next one."""
    places = {e.id: resumes(e, watch.track) for e in watch.view.live.values() if e.state != "running"}
    lines = [f"{id} is kept half done: the next run goes on {place}" for id, place in places.items() if place]
    if untouched := len(places) - len(lines):
        lines.append(f"{count(untouched, 'experiment')} waiting for the next run")
    return lines


def front_lines(watch: Watch) -> list[FrontLine]:
    """Explored experiments that no other beats, best first on the first objective."""
    scored = {e.id: e for e in explored(watch)}
    places = [Point(id, values) for id, e in scored.items() if (values := place(watch, e)) is not None]
    return [_front_line(watch, scored[point.id]) for point in front(places, watch.track.objectives)]


def explored(watch: Watch) -> Iterable[Experiment]:
    """Those with scores; the view knows which."""
    return (watch.ledger.experiment(id) for id in watch.view.rank_of)


def place(watch: Watch, experiment: Experiment) -> tuple[float, ...] | None:
    scores = experiment.outcome.scores if experiment.outcome else None
    values = [scores.mean.get(o.metric) for o in watch.track.objectives] if scores else [None]
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(values) else None


def _front_line(watch: Watch, experiment: Experiment) -> FrontLine:
    verdicts = [v for v in watch.verdicts(experiment) if v.status != "not_applicable"]
    scores = experiment.outcome.scores if experiment.outcome else None
    names = dict.fromkeys([o.metric for o in watch.track.objectives] + [g.metric for g in watch.goals])
    applies = {v.goal.metric for v in verdicts} | {o.metric for o in watch.track.objectives}
    return FrontLine(
        id=experiment.id, what=configuration(experiment.spec, watch.track), designer=experiment.designer,
        values={name: scores.mean.get(name) if scores else None for name in names if name in applies},
        goals_met=sum(v.status == "met" for v in verdicts), goals=len(verdicts), refuted=watch.refuted(experiment.id))


def _show_front(out: Console, watch: Watch, found: Summary) -> None:
    if not found.front:
        out.print(Text("No experiment has scores yet.\n", style="dim"))
        return
    names = list(found.front[0].values)
    shown = _spread(found.front, ROWS)
    rows = table("experiment", *names, "goals", "configuration", right=(*names, "goals"),
                 gives_way="configuration", title=f"The front: {len(found.front)} that no other beats"
                       + (f", {len(shown)} shown" if len(shown) < len(found.front) else ""),
                 rows=([line.id, *(number(line.values.get(name)) for name in names),
                        f"{line.goals_met}/{line.goals}", line.what] for line in shown))
    out.print(rows)
    if word := refuted(line.id for line in shown if line.refuted):
        out.print(Text(word, style="dim"))
    if word := unproven(line.id for line in shown if watch.unproven(line.id)):
        out.print(Text(word, style="dim"))
    out.print()
    if len(watch.track.objectives) == 2:
        _show_picture(out, watch, found)


def _spread(lines: tuple[FrontLine, ...], most: int) -> list[FrontLine]:
    """At most so many, evenly over the front, its ends included."""
    if len(lines) <= most:
        return list(lines)
    return [lines[round(n * (len(lines) - 1) / (most - 1))] for n in range(most)]


def _show_picture(out: Console, watch: Watch, found: Summary) -> None:
    first, second = watch.track.objectives
    leader = found.status.best.id if found.status.best else ""
    scored = {e.id: p for e in explored(watch) if (p := place(watch, e)) is not None}
    on_front = {line.id for line in found.front}
    anchors = [(scores.mean.get(first.metric), scores.mean.get(second.metric))
               for scores in watch.view.anchors.values()]
    series = [
        Series(name="explored", points=_pairs(scored, scored.keys() - on_front), style="blue",
               mark="•" if len(scored) <= FEW else ""),
        Series(name="anchors", points=tuple((a, b) for a, b in anchors if a is not None and b is not None),
               style="yellow", mark="×"),
        Series(name="front", points=_pairs(scored, on_front), style="green", mark="●"),
        Series(name="best so far", points=_pairs(scored, {leader} & scored.keys()), style="bold magenta", mark="★"),
    ]
    everything = [point for one in series for point in one.points]
    x = axis(_named(first.metric), [point[0] for point in everything], first.log)
    y = _within(axis(_named(second.metric), [point[1] for point in everything], second.log), second.reference,
                second.direction)
    out.print(Text(f"{second.metric}", style="dim"))
    out.print(scatter(series, x, y, width=min(out.width - 14, 76)))
    out.print(legend(series))
    off = sum(point[1] < y.low for one in series[:3] for point in one.points)
    if off:
        out.print(Text(f"{count(off, 'point')} below {number(y.low)} not drawn", style="dim"))
    out.print()


def _within(found: Axis, reference: float, direction: str) -> Axis:
    """Points beyond the reference are out of the race; they should not press the others together."""
    low = max(found.low, reference) if direction == "max" and reference < found.high else found.low
    return Axis(name=found.name, low=low, high=found.high, log=found.log)


def _pairs(scored: dict[str, tuple[float, ...]], ids: Iterable[str]) -> tuple[tuple[float, float], ...]:
    return tuple((scored[id][0], scored[id][1]) for id in ids)


def _named(metric: str) -> str:
    unit = unit_of(metric)
    return metric if unit == metric else f"{metric.rpartition('_')[0]}, {unit}"
