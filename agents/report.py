"""The report as mail carries it: plain text of at most 100 lines of 78 columns whose first three lines say it all."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

from agents import telling
from agents.data import Best, ReportData
from agents.words import configuration, moment, plain, shortened
from lab.money import usd
from lab.words import count

COLUMNS = 78
MOST_LINES = 100
MOST_FRONT, MOST_FAILURES, MOST_METRICS = 8, 4, 8


def compose(data: ReportData) -> tuple[str, str]:
    """(subject, text)."""
    lines = [*_first_three(data), "", *wrap(plain(f"{moment(data.now)}, {data.why}"), COLUMNS)]
    sections = {
        "Status": [data.lab.daemon, *_running(data)],
        "Best so far": _best(data),
        "The front": _front(data),
        "Experiments": _experiments(data),
        "Learned (where to look, not causes)": telling.learned_lines(data, 4),
        "Designers against control": [telling.comparison_line(found) for found in data.comparisons],
        "Money": telling.money_lines(data.money),
        "Next": list(data.next),
    }
    for title, told in sections.items():
        if told:
            lines += ["", title.upper(), *_bullets(told)]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES - 1], "… the page tells the rest"]
    return subject(data), "\n".join(lines) + "\n"


def subject(data: ReportData) -> str:
    dead = f"NO DAEMON since {moment(data.lab.dead_since)}; " if data.lab.dead_since is not None else ""
    return shortened(f"{data.lab.name}: {dead}{telling.headline(data)}; {usd(data.money.spent)} spent", 150)


def _first_three(data: ReportData) -> list[str]:
    cap = f" of {usd(data.money.budgets[-1].budget.cap)}" if data.money.budgets else ""
    lines = [f"{data.lab.name}: {telling.headline(data)}",
             "; ".join(telling.goal_short(v) for v in data.best.verdicts if v.status != "not_applicable")
             if data.best else "no goal can be judged yet",
             f"{count(len(data.rows), 'experiment')}; {usd(data.money.spent)}{cap} spent; {telling.status(data)}"]
    return [shortened(line, COLUMNS) for line in lines]


def _running(data: ReportData) -> list[str]:
    return [f"{run.id} runs ({run.purpose}, {run.designer}), {run.phase or 'starting'}" for run in data.lab.running[:4]]


def _best(data: ReportData) -> list[str]:
    best, track = data.best, data.track
    if best is None:
        return []
    lines = [f"{best.id} by {best.experiment.designer}, {telling.TRUST[best.standing.status]}",
             configuration(best.experiment.spec.family, best.experiment.spec.params)]
    for verdict in best.verdicts:
        again = telling.confirmed_as(best, verdict, track)
        lines.append(f"{telling.goal_line(verdict, best, track)}; asked {telling.asked(verdict, track)}"
                     + (f"; confirmed as {again}" if again else ""))
    lines += [f"{metric.name} {told}" for metric, told in telling.savings(best, track)[:MOST_METRICS]]
    return [*lines, *_around(data, best)]


def _around(data: ReportData, best: Best) -> list[str]:
    lines = [shortened(best.explained, 3 * COLUMNS)] if best.explained else []
    if data.challenger:
        lines.append(f"{data.challenger} ranks better and is not confirmed yet")
    if data.refuted:
        lines.append(f"did well on the score clips and was refuted on unseen ones: {', '.join(data.refuted[:6])}")
    return lines


def _front(data: ReportData) -> list[str]:
    shown = telling.spread(data.front, MOST_FRONT)
    lines = [f"{point.id}: {telling.objectives_line(point, data.track)}" for point in shown]
    return [f"{len(lines)} of {len(data.front)}, evenly spread:", *lines] if len(data.front) > len(shown) else lines


def _experiments(data: ReportData) -> list[str]:
    lines = [f"{purpose}: " + ", ".join(f"{number} {name}" for name, number in counts.items())
             for purpose, counts in telling.outcomes(data).items()]
    lines += [word] if (word := telling.unsandboxed(data)) else []
    return lines + [f"failed by {reason}: {number}, last {row.id}: {shortened(row.detail, 100) or 'no detail'}"
                    for reason, number, row in telling.failures(data)[:MOST_FAILURES]]


def _bullets(lines: Iterable[str]) -> list[str]:
    return [part for line in lines for part in wrap(plain(line), COLUMNS, initial_indent="  ",
                                                    subsequent_indent="    ", break_on_hyphens=False)]
