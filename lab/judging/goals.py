"""Whether an outcome met the person's goals. What was not measured is unknown, and unknown never counts as met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Literal

import msgspec

from lab.experiment import Scores
from lab.track import Goal

Status = Literal["met", "missed", "unknown", "not_applicable"]


class GoalVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One goal against one outcome.

    `value` is the number that decided: the mean, or the worst of the best clips that the goal asks for.
    `share` is the part of the clips that meet the goal by themselves, whatever its scope; null without clips.
    `distance` is how far `value` falls short, as a part of the goal's own value; zero once met, null while unknown.
    """

    goal: Goal
    status: Status
    value: float | None = None
    share: float | None = None
    distance: float | None = None
    why: str = ""


def judge(goals: Iterable[Goal], scores: Scores, not_applicable: frozenset[str] = frozenset()) -> list[GoalVerdict]:
    """One verdict a goal, in their order. `not_applicable` names metrics that this kind of experiment cannot have."""
    return [_judge(goal, scores, goal.metric in not_applicable) for goal in goals]


def margins(goals: Iterable[Goal], scores: Scores, not_applicable: frozenset[str] = frozenset()) -> list[float | None]:
    """Of each goal that applies, how far it is over-fulfilled as a part of its own value; negative where it is missed,
    null where it is unknown. What `judge` says, without what only people want to know: ten thousand are asked at once.
    """
    return [_margin(goal, scores) for goal in goals if goal.metric not in not_applicable]


def succeeded(verdicts: Sequence[GoalVerdict]) -> bool:
    """Every goal that applies is met, and at least one applies: nothing asked is nothing achieved."""
    asked = [v for v in verdicts if v.status != "not_applicable"]
    return bool(asked) and all(v.status == "met" for v in asked)


def _judge(goal: Goal, scores: Scores, exempt: bool) -> GoalVerdict:
    if exempt:
        return GoalVerdict(goal=goal, status="not_applicable", why=f"{goal.metric} does not apply here")
    if scores.provenance.get(goal.metric) == "claimed":
        return GoalVerdict(goal=goal, status="unknown", why=f"{goal.metric} is only claimed, not measured")
    return _over_mean(goal, scores) if goal.scope == "mean" else _over_clips(goal, scores)


def _margin(goal: Goal, scores: Scores) -> float | None:
    if goal.scope != "mean" or scores.provenance.get(goal.metric) == "claimed":
        value = _judge(goal, scores, exempt=False).value
    else:
        value = scores.mean.get(goal.metric)
    if value is None:
        return None
    over = goal.value - value if goal.relation == "<=" else value - goal.value
    return over / (abs(goal.value) or 1.0)


def _over_mean(goal: Goal, scores: Scores) -> GoalVerdict:
    value, share = scores.mean.get(goal.metric), _share(goal, _per_clip(goal, scores))
    if value is None:
        return GoalVerdict(goal=goal, status="unknown", share=share, why=_why_missing(goal, scores))
    return _decided(goal, value, share)


def _over_clips(goal: Goal, scores: Scores) -> GoalVerdict:
    """`every` is the share of all. A clip without a number leaves the goal open only where it could still decide it."""
    values = _per_clip(goal, scores)
    share = _share(goal, values)
    if not values:
        return GoalVerdict(goal=goal, status="unknown", why="there are no clips")
    needed = max(1, ceil((1.0 if goal.scope == "every" else goal.share) * len(values) - 1e-9))
    known = sorted((v for v in values if v is not None), reverse=goal.relation == ">=")
    passing = sum(_meets(goal, v) for v in known)
    if passing < needed <= passing + len(values) - len(known):
        return GoalVerdict(goal=goal, status="unknown", share=share, why=_why_missing(goal, scores))
    return _decided(goal, known[min(needed, len(known)) - 1], share)


def _decided(goal: Goal, value: float, share: float | None) -> GoalVerdict:
    status: Status = "met" if _meets(goal, value) else "missed"
    return GoalVerdict(goal=goal, status=status, value=value, share=share, distance=_distance(goal, value))


def _meets(goal: Goal, value: float) -> bool:
    return value <= goal.value if goal.relation == "<=" else value >= goal.value


def _distance(goal: Goal, value: float) -> float:
    over = value - goal.value if goal.relation == "<=" else goal.value - value
    return max(0.0, over) / (abs(goal.value) or 1.0)


def _per_clip(goal: Goal, scores: Scores) -> list[float | None]:
    return [metrics.get(goal.metric) for metrics in scores.clips.values()]


def _share(goal: Goal, values: Sequence[float | None]) -> float | None:
    """The part of all clips that meet the goal; a clip without a number does not."""
    return sum(v is not None and _meets(goal, v) for v in values) / len(values) if values else None


def _why_missing(goal: Goal, scores: Scores) -> str:
    return scores.why.get(goal.metric, f"{goal.metric} was not measured")
