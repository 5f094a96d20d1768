"""The sentences that text and page share, so that the two never say different things."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import exp

from agents import words
from agents.data import Best, Money, ReportData, Row
from agents.learned import Effect
from agents.reconciliation import bill_lines
from agents.words import number, quantity
from lab.judging.comparison import Comparison
from lab.judging.goals import GoalVerdict
from lab.judging.pareto import Point
from lab.money import usd
from lab.track import Metric, Objective, Track
from lab.words import count

MARKS = {"met": "met", "missed": "missed", "unknown": "unknown", "not_applicable": "does not apply"}
TRUST = {"confirmed": "confirmed on three seeds and unseen clips", "confirming": "being confirmed",
         "candidate": "not confirmed yet", "refuted": "refuted on unseen clips",
         "unproven": "ran on unseen clips; code from outside that misses a goal is not believed"}


def headline(data: ReportData) -> str:
    """Who is best and how far it meets the goals, in one line."""
    best = data.best
    if best is None:
        ran = sum(row.state == "finished" for row in data.rows)
        return "nothing is measured yet" if not ran else f"none of {count(ran, 'experiment')} gave a result yet"
    return f"{best.id} meets {goals_met(best)} ({TRUST[best.standing.status]})"


def goals_met(best: Best) -> str:
    asked = [v for v in best.verdicts if v.status != "not_applicable"]
    met = sum(v.status == "met" for v in asked)
    unknown = sum(v.status == "unknown" for v in asked)
    told = f"all {met} goals" if met == len(asked) and met > 1 else f"{met} of {count(len(asked), 'goal')}"
    return f"{told}, {unknown} unknown" if unknown else told


def goal_short(verdict: GoalVerdict) -> str:
    """bitrate_mbps 0.836 met."""
    value = "" if verdict.value is None else f" {number(verdict.value)}"
    return f"{verdict.goal.metric}{value} {MARKS[verdict.status]}"


def goal_line(verdict: GoalVerdict, best: Best, track: Track) -> str:
    """bitrate_mbps 0.836 Mbps: met, on 50 % of the clips."""
    goal, why = verdict.goal, reason(verdict, best)
    value = quantity(verdict.value, track.metric(goal.metric).unit) if verdict.value is not None else ""
    told = f"{goal.metric} {value}".rstrip() + f": {MARKS[verdict.status]}"
    return told + (f", {why}" if why else share(verdict))


def reason(verdict: GoalVerdict, best: Best) -> str:
    """Why there is no verdict; of a figure that is only claimed, what it claims."""
    name = verdict.goal.metric
    claim = best.scores.mean.get(name)
    if verdict.status == "unknown" and best.scores.provenance.get(name) == "claimed" and claim is not None:
        return f"{verdict.why} (the claim: {number(claim)})"
    if verdict.status == "not_applicable":
        return best.scores.why.get(name, "").removeprefix("not applicable: ")
    return verdict.why


def asked(verdict: GoalVerdict, track: Track) -> str:
    """≤ 1 Mbps on every clip."""
    goal = verdict.goal
    tail = {"mean": "", "every": " on every clip", "share": f" on {goal.share:.0%} of the clips"}[goal.scope]
    return f"{'≤' if goal.relation == '<=' else '≥'} {quantity(goal.value, track.metric(goal.metric).unit)}{tail}"


def share(verdict: GoalVerdict) -> str:
    return "" if verdict.share is None else f", on {words.percent(verdict.share)} of the clips"


def status(data: ReportData) -> str:
    """One word for the state of the lab."""
    lab = data.lab
    if lab.final:
        return "ended"
    if lab.lives is False:
        return "not running"
    if lab.stop:
        return "stopping"
    if lab.held:
        return "held by the budget guard"
    return "paused" if lab.paused else "running"


def outcomes(data: ReportData) -> dict[str, dict[str, int]]:
    """Purpose → how its experiments ended or stand, in a fixed order."""
    order = ("success", "partial", "pruned", "failed", "cancelled", "running", "queued", "proposed")
    found = {purpose: Counter(ended(row) for row in data.rows if row.purpose == purpose)
             for purpose in ("explore", "confirm", "anchor")}
    return {purpose: {name: counts[name] for name in order if counts[name]}
            for purpose, counts in found.items() if counts}


def ended(row: Row) -> str:
    return row.verdict or row.state


def failures(data: ReportData) -> list[tuple[str, int, Row]]:
    """Reason, how often, and the latest that failed by it; the most frequent first."""
    failed = [row for row in data.rows if row.reason is not None]
    latest = {str(row.reason): row for row in failed}
    return [(reason, times, latest[reason]) for reason, times in Counter(str(r.reason) for r in failed).most_common()]


def unsandboxed(data: ReportData) -> str:
    """A word where experiments ran as plain processes; empty where none is known to have."""
    times = sum(row.sandboxed is False for row in data.rows)
    ran = f"{count(times, 'experiment')} ran as plain processes"
    return f"NOT SANDBOXED: {ran}; aether doctor says why" if times else ""


def savings(best: Best, track: Track) -> list[tuple[Metric, str]]:
    """What the anchors tell of it: each derived metric of the track, or why there is none."""
    return [(metric, words.metric(best.scores, metric.name, track)) for metric in track.metrics if metric.derived]


def confirmed_as(best: Best, verdict: GoalVerdict, track: Track) -> str:
    """The range of this goal's value over the confirmations that have one."""
    values = [v.value for run in best.confirmations for v in run.verdicts
              if v.goal == verdict.goal and v.value is not None]
    if not values:
        return ""
    low, high, unit = min(values), max(values), track.metric(verdict.goal.metric).unit
    told = quantity(low, unit) if number(low) == number(high) else f"{number(low)} to {quantity(high, unit)}"
    return f"{told} ({count(len(values), 'run')})"


def effect_line(effect: Effect, track: Track) -> str:
    """encoder vvenc: psnr_y_db 2.1 dB better at equal bitrate_mbps than the others (…)."""
    first, last = track.objectives[0], track.objectives[-1]
    at_equal = f" at equal {first.metric}" if len(track.objectives) > 1 else ""
    word = "better" if effect.gain > 0 else "worse"
    return (f"{effect.setting}: {last.metric} {_amount(abs(effect.gain), last, track)} {word}{at_equal} than "
            f"{effect.against} ({effect.count} against {count(effect.count_against, 'experiment')}; chance alone "
            f"reaches {_amount(effect.chance, last, track)})")


def _amount(gain: float, objective: Objective, track: Track) -> str:
    if objective.log:
        return f"{100 * (exp(gain) - 1):.3g} %"
    return f"{gain:.2g} {track.metric(objective.metric).unit}".rstrip()


def learned_lines(data: ReportData, most: int = 6) -> list[str]:
    learned = data.learned
    if not learned.compared:
        return [f"too few experiments to tell ({count(learned.trials, 'result')} so far)"]
    lines = [effect_line(effect, data.track) for effect in learned.effects[:most]]
    rest = learned.compared - len(learned.effects)
    lines.append(f"{count(rest, 'other comparison')} of settings showed nothing beyond chance" if lines else
                 f"none of {count(learned.compared, 'comparison')} of settings showed more than chance would")
    return lines


def comparison_line(found: Comparison) -> str:
    """What a designer is worth, with what chance gives, and how often each entered the front."""
    return f"{found}; entered the front: {_entered(found)}".replace("-", "−")


def _entered(found: Comparison) -> str:
    mine, control = found.entered, found.entered_control
    return (f"{words.percent(mine.value)} of its experiments ({words.percent(mine.low)} to {words.percent(mine.high)}),"
            f" control {words.percent(control.value)} ({words.percent(control.low)} to {words.percent(control.high)})")


def money_lines(money: Money) -> list[str]:
    return [*cost_lines(money), *(
        f"{line.name}: {usd(line.budget.spent)} spent, {usd(line.budget.reserved)} reserved, "
        f"{usd(line.budget.free)} free of {usd(line.budget.cap)}; level {line.level}" for line in money.budgets)]


def cost_lines(money: Money) -> list[str]:
    """All but the budgets."""
    lines = [f"last hour {usd(money.hour)}, last 24 h {usd(money.day)}, this month {usd(money.month)}"]
    if money.projected is not None:
        level = f"; level {money.forecast}" if money.forecast != "ok" else ""
        lines.append(f"projected month's end {usd(money.projected)}, if every day costs what the last 24 h did{level}")
    return [*lines, *bill_lines(money.bill)]


def spread(points: Sequence[Point], most: int) -> list[Point]:
    """Evenly from a long front, its ends included."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def objectives_line(point: Point, track: Track) -> str:
    return ", ".join(f"{o.metric} {quantity(value, track.metric(o.metric).unit)}"
                     for o, value in zip(track.objectives, point.values, strict=True))
