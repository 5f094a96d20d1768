"""The report as one HTML file that needs nothing beside it: styles, pictures and numbers within, no script, no address.

All text is escaped by the template, since names, hypotheses and details may come from a candidate. The same page serves
a wide screen, a phone, the dark and paper.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from agents import telling, words
from agents.axes import Axis
from agents.chart import Mark, Series, draw, interval
from agents.data import Best, BudgetLine, ReportData, Row
from agents.front import front_picture, series
from agents.learned import Effect
from lab.judging.comparison import Comparison
from lab.judging.goals import GoalVerdict
from lab.money import usd
from lab.words import count

TEMPLATES = Path(__file__).parent / "templates"
WIDE, NARROW = (880, 460), (360, 340)  # pixels, of the front's picture
MOST_FRONT, MOST_EFFECTS = 12, 8
MOST_MARKS = 120  # of one curve
LOG_FROM = 20  # times its least value that a curve must span for a logarithmic axis


def compose_html(data: ReportData) -> str:
    """The whole page."""
    template = _environment().get_template("report.html.j2")
    return template.render(
        data=data, style=Markup((TEMPLATES / "report.css").read_text()), headline=telling.headline(data),
        status=telling.status(data), goals=[_goal(v, data.best, data) for v in data.best.verdicts] if data.best else [],
        best=_best(data.best, data) if data.best else None, pictures=_pictures(data), legend=series(data),
        front=[_front_row(row, data) for row in _front(data)], front_size=len(data.front),
        outcomes=telling.outcomes(data), failures=telling.failures(data),
        unsandboxed=telling.unsandboxed(data),
        effects=[_effect(effect, data) for effect in data.learned.effects[:MOST_EFFECTS]],
        trainings=_trainings(data),
        learned=telling.learned_lines(data)[-1], comparisons=[_comparison(c, data) for c in data.comparisons],
        money=telling.cost_lines(data.money), budgets=[_budget(line) for line in data.money.budgets])


@cache
def _environment() -> Environment:
    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"moment": words.moment, "usd": usd, "duration": words.duration, "shortened": words.shortened,
                     "spoken": words.spoken}
    return made


def _pictures(data: ReportData) -> list[tuple[str, Markup]]:
    """For the wide screen and for the phone; a picture that only shrinks cannot be read."""
    made = {"wide": front_picture(data, width=WIDE[0], height=WIDE[1], names=True),
            "narrow": front_picture(data, width=NARROW[0], height=NARROW[1], names=False)}
    return [(name, Markup(svg)) for name, svg in made.items() if svg]


def _trainings(data: ReportData) -> list[tuple[str, Markup]]:
    """One picture for all that are drawn over the same; those of another kind get another."""
    kinds = dict.fromkeys((one.curve.name, one.curve.over) for one in data.trained)
    return [(name, Markup(_training(data, name, over))) for name, over in kinds]


def _training(data: ReportData, name: str, over: str) -> str:
    chosen = [one for one in data.trained if (one.curve.name, one.curve.over) == (name, over)]
    values = [y for one in chosen for _, y in one.curve.points]
    log = min(values) > 0 and max(values) > LOG_FROM * min(values)
    lines = [Series(name=one.id, colour=number, line="straight", radius=1.5, marks=tuple(
        Mark(x=x, y=y, title=f"{one.id}, {one.configuration}: {name} {words.number(y)} at {over} {x:g}")
        for x, y in one.curve.points[::max(1, len(one.curve.points) // MOST_MARKS)]))
        for number, one in enumerate(chosen, 1)]
    return draw(lines, Axis(label=over), Axis(label=f"{name}, as claimed", log=log), width=WIDE[0], height=300)


def _goal(verdict: GoalVerdict, best: Best, data: ReportData) -> dict[str, Any]:
    metric = data.track.metric(verdict.goal.metric)
    value = "–" if verdict.value is None else words.number(verdict.value)
    clips = len(best.scores.clips)
    return {"metric": metric, "value": value, "unit": metric.unit if verdict.value is not None else "",
            "asked": telling.asked(verdict, data.track), "status": verdict.status,
            "mark": telling.MARKS[verdict.status], "why": telling.reason(verdict, best), "share": verdict.share,
            "clips": f"{round((verdict.share or 0) * clips)} of {count(clips, 'clip')}",
            "confirmed": telling.confirmed_as(best, verdict, data.track)}


def _best(best: Best, data: ReportData) -> dict[str, Any]:
    names = [metric for metric in data.track.metrics if metric.name in best.scores.mean]
    return {"trust": telling.TRUST[best.standing.status], "savings": telling.savings(best, data.track),
            "clips": list(best.scores.clips),
            "metrics": [{"metric": metric, "mean": words.metric(best.scores, metric.name, data.track),
                         "clips": [_clip_value(best, clip, metric.name) for clip in best.scores.clips]}
                        for metric in names]}


def _clip_value(best: Best, clip: str, metric: str) -> str:
    value = best.scores.clips[clip].get(metric)
    return "–" if value is None else words.number(value)


def _front(data: ReportData) -> list[Row]:
    rows = {row.id: row for row in data.rows}
    return [rows[point.id] for point in telling.spread(data.front, MOST_FRONT)]


def _front_row(row: Row, data: ReportData) -> dict[str, Any]:
    return {"row": row, "values": [words.number(value) for value in row.values or ()],
            "configuration": words.configuration(row.family, row.params)}


def _effect(effect: Effect, data: ReportData) -> dict[str, Any]:
    extent = max(max(abs(e.gain), e.chance) for e in data.learned.effects)
    told = telling.effect_line(effect, data.track)
    return {"told": told, "picture": Markup(interval(effect.gain, -effect.chance, effect.chance, extent, told))}


def _comparison(found: Comparison, data: ReportData) -> dict[str, Any]:
    told = telling.comparison_line(found)
    if found.gain is None or found.noise is None:
        return {"found": found, "told": told, "picture": ""}
    extent = max(abs(found.gain), abs(found.noise.low), abs(found.noise.high)) or 1.0
    return {"found": found, "told": told,
            "picture": Markup(interval(found.gain, found.noise.low, found.noise.high, extent, told))}


def _budget(line: BudgetLine) -> dict[str, Any]:
    cap = max(line.budget.cap, 1)
    return {"line": line, "spent_pct": min(100.0, 100 * line.budget.spent / cap),
            "reserved_pct": min(100.0, 100 * line.budget.reserved / cap)}
