"""Who leads, and whether to believe it: a champion is believed only after three seeds on the clips kept for confirming.

Pure, so that the daemon, which decides by it, and the report, which tells it, cannot differ.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import inf
from typing import Literal

import msgspec

from lab.experiment import Experiment, Scores
from lab.judging.goals import GoalVerdict, judge
from lab.track import Goal, Track

SEEDS = (101, 102, 103)  # of the confirmations; explored experiments have another, so these are fresh runs
MISSED_UNKNOWN = 1.0  # what an unknown goal counts in a rank: as much as one missed by its whole value

Rank = tuple[float, float, str]  # summed distance to the goals, loss on the first objective, id: smaller is better
ConfirmState = Literal["live", "passed", "scored", "failed", "void"]
Confirms = Mapping[str, Mapping[int, ConfirmState]]  # candidate → seed → how its confirmation stands
Status = Literal["candidate", "confirming", "confirmed", "refuted"]


class Standing(msgspec.Struct, frozen=True):
    """A leader: its rank, whether it meets every goal on the score clips, and how far it is confirmed."""

    rank: Rank
    meets: bool
    status: Status

    @property
    def id(self) -> str:
        return self.rank[2]


def rank(experiment: Experiment, track: Track, goals: Sequence[Goal], anchors: Mapping[str, Scores]) -> Rank | None:
    """Where an explored experiment stands; None if it has no scores to stand on."""
    if experiment.outcome is None or experiment.outcome.scores is None:
        return None
    first, scores = track.objectives[0], experiment.outcome.scores
    if any(track.metric(name).derived for name in (first.metric, *(goal.metric for goal in goals))):
        scores = track.derive(scores, anchors)  # only where the rank needs it: ten thousand ranks are told in a second
    value = scores.mean.get(first.metric)
    if value is None:
        return None
    verdicts = judge(goals, scores, track.not_applicable(experiment.spec))
    return shortfall(verdicts), value if first.direction == "min" else -value, experiment.id


def shortfall(verdicts: Sequence[GoalVerdict]) -> float:
    """How far all goals together are missed, each as a part of its value; 0 when every one that applies is met."""
    return sum(MISSED_UNKNOWN if v.status == "unknown" else (v.distance or 0.0)
               for v in verdicts if v.status != "not_applicable")


def confirm_state(experiment: Experiment) -> ConfirmState:
    """What one confirmation says of its candidate."""
    if experiment.state not in ("finished", "cancelled"):
        return "live"
    if experiment.outcome is None or experiment.outcome.reason == "harness_fault":
        return "void"  # says nothing of the candidate; that seed is run again
    if experiment.outcome.scores is None:
        return "failed"
    return "passed" if experiment.outcome.verdict == "success" else "scored"


def standing(rank: Rank, states: Mapping[int, ConfirmState]) -> Standing:
    """`states` are the candidate's confirmations, by seed."""
    meets = rank[0] == 0
    fit = {"passed"} if meets else {"passed", "scored"}  # a candidate that missed a goal has only to run as well again
    ended = [state for state in states.values() if state not in ("live", "void")]
    if any(state not in fit for state in ended):
        return Standing(rank, meets, "refuted")
    if len(ended) >= len(SEEDS):
        return Standing(rank, meets, "confirmed")
    return Standing(rank, meets, "confirming" if states else "candidate")


def leader(ranks: Sequence[Rank], confirms: Confirms) -> Standing | None:
    """Whom to believe in next: the best, until a confirmation refutes it; None if nobody is left.

    `ranks` are sorted, best first. The best on the score clips is often the one that only just meets the goals there,
    and its neighbours are refuted with it. So each refutation doubles the step down to the next candidate, and none
    that ranks before a refuted one is tried; once one is confirmed, the search goes on between the two.
    """
    judged = {i: standing(ranks[i], confirms[ranks[i][2]]) for i in _places(ranks, confirms)}
    refuted = [i for i, found in judged.items() if found.status == "refuted"]
    believed = any(found.status == "confirmed" for found in judged.values())
    last = max(refuted, default=-1)
    step = 1 if believed or not refuted else 2 ** (len(refuted) - 1)
    meeting = bisect_left(ranks, (0.0, inf, ""))  # those that meet every goal stand first
    place = min(last + step, max(meeting - 1, last + 1))
    if place >= len(ranks):
        return None
    return judged.get(place) or standing(ranks[place], confirms.get(ranks[place][2], {}))


def _places(ranks: Sequence[Rank], confirms: Confirms) -> list[int]:
    """Where those with confirmations stand, in order."""
    known = {ranks[i][2]: i for i in range(len(ranks)) if ranks[i][2] in confirms} if confirms else {}
    return sorted(known.values())


def champion(rank_of: Mapping[str, Rank], confirms: Confirms) -> Standing | None:
    """The best that is confirmed."""
    standings = (standing(rank_of[id], states) for id, states in confirms.items() if id in rank_of)
    return min((found for found in standings if found.status == "confirmed"), key=lambda s: s.rank, default=None)


def missing_seeds(states: Mapping[int, ConfirmState]) -> list[int]:
    """The seeds whose confirmation has not been started, or said nothing."""
    return [seed for seed in SEEDS if states.get(seed, "void") == "void"]
