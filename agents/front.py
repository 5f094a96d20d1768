"""The front as a picture: every experiment measured, the front, the anchors' curves, the best and the goals."""

from __future__ import annotations

from collections.abc import Sequence

from agents.axes import Axis
from agents.chart import Guide, Mark, Series, draw
from agents.data import ReportData, Row
from agents.telling import objectives_line
from agents.words import configuration, quantity, shortened
from lab.judging.pareto import Point
from lab.track import Goal, Objective, Track

MOST_BEHIND = 1000  # experiments drawn behind the front; more of them only darken the same cloud


def front_picture(data: ReportData, *, width: int, height: int, names: bool) -> str:
    """An SVG element, or nothing where the track has one objective or nothing is measured."""
    objectives, found = data.track.objectives[:2], series(data)
    if len(objectives) < 2 or not any(s.marks for s in found):
        return ""
    x, y = (_axis(objective, data.track) for objective in objectives)
    return draw(found, x, y, guides=guides(data.goals, objectives, data.track), width=width, height=height, names=names)


def series(data: ReportData) -> list[Series]:
    """From the back to the front: all, anchors, front, the best."""
    on_front = {point.id for point in data.front}
    behind = [row for row in data.rows if row.values is not None and row.purpose == "explore"
              and row.clips == data.clips and row.id not in on_front]
    found = [Series(name=f"measured ({len(behind)})", marks=_marks(_thinned(behind), data.track), colour=0, radius=3)]
    found += [Series(name=name, marks=marks, colour=number, line="straight", radius=3)
              for number, (name, marks) in enumerate(_curves(data).items(), 2)]
    rows = {row.id: row for row in data.rows}
    found.append(Series(name="front", line="step", marks=_marks([rows[p.id] for p in data.front], data.track)))
    if data.best is not None and (best := rows[data.best.id]).values is not None and best.clips == data.clips:
        found.append(Series(name=f"best: {best.id}", marks=_marks([best], data.track), radius=7))
    return [one for one in found if one.marks]


def guides(goals: Sequence[Goal], objectives: Sequence[Objective], track: Track) -> list[Guide]:
    """The goals on the axes' own metrics, as far as they speak of the mean."""
    sides = {objectives[0].metric: "x", objectives[1].metric: "y"}
    return [Guide(axis="x" if sides[goal.metric] == "x" else "y", value=goal.value, relation=goal.relation,
                  label=f"goal {'≤' if goal.relation == '<=' else '≥'} "
                        f"{quantity(goal.value, track.metric(goal.metric).unit)}")
            for goal in goals if goal.metric in sides and goal.scope == "mean"]


def _axis(objective: Objective, track: Track) -> Axis:
    metric = track.metric(objective.metric)
    unit = f" ({metric.unit})" if metric.unit else ""
    return Axis(label=f"{metric.name}{unit}, {'less' if objective.direction == 'min' else 'more'} is better",
                log=objective.log)


def _marks(rows: Sequence[Row], track: Track) -> tuple[Mark, ...]:
    return tuple(Mark(x=row.values[0], y=row.values[1], title=_title(row, track)) for row in rows if row.values)


def _title(row: Row, track: Track) -> str:
    values = objectives_line(Point(row.id, row.values or ()), track)
    return shortened(f"{row.id} by {row.designer} · {values} · {configuration(row.family, row.params)}", 400)


def _curves(data: ReportData) -> dict[str, tuple[Mark, ...]]:
    """Curve → its anchors that are measured, along the first objective."""
    first, second = (objective.metric for objective in data.track.objectives[:2])
    curves: dict[str, list[Mark]] = {}
    for anchor in data.track.anchors:
        mean = data.anchors[anchor.name].mean if anchor.name in data.anchors else {}
        x, y = mean.get(first), mean.get(second)
        if anchor.curve and x is not None and y is not None:
            told = objectives_line(Point(anchor.name, (x, y)), data.track)
            curves.setdefault(anchor.curve, []).append(Mark(x=x, y=y, title=f"anchor {anchor.name} · {told}"))
    return {name: tuple(sorted(marks, key=lambda m: m.x)) for name, marks in curves.items()}


def _thinned(rows: Sequence[Row]) -> Sequence[Row]:
    return rows[::-(-len(rows) // MOST_BEHIND)] if len(rows) > MOST_BEHIND else rows
