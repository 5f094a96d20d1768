"""Who leads, and whether to believe it: a champion is believed only after three seeds on the clips kept for confirming.

Pure, so that the daemon, which decides by it, and the report, which tells it, cannot differ.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Literal, NamedTuple

import msgspec

from lab.experiment import Experiment, Scores
from lab.judging.goals import margins
from lab.track import Goal, Track

SEEDS = (101, 102, 103)  # of the confirmations; explored experiments have another, so these are fresh runs
FIRST_STEP = 0.0025  # of slack: about 0.1 dB at 35 dB, or 0.0024 of SSIM at 0.95
MISSED_UNKNOWN = 1.0  # what an unknown goal counts in a rank: as much as one missed by its whole value

ConfirmState = Literal["live", "passed", "scored", "failed", "void"]
Confirms = Mapping[str, Mapping[int, ConfirmState]]  # recipe → seed → how its confirmation stands
Status = Literal["candidate", "confirming", "confirmed", "refuted", "unproven"]


class Rank(NamedTuple):
    """Where an explored experiment stands; smaller is better."""

    shortfall: float  # summed distance to the goals, each as a part of its value; 0 if all are met
    loss: float  # on the first objective
    id: str
    slack: float = 0.0  # how far the tightest goal is over-fulfilled, as a part of its value
    recipe: str = ""  # of its spec: those who differ in their seed alone share their confirmations
    outside: bool = False  # its code is a stranger's


class Standing(msgspec.Struct, frozen=True):
    """A leader: its rank, whether it meets every goal on the score clips, and how far it is confirmed."""

    rank: Rank
    meets: bool
    status: Status

    @property
    def id(self) -> str:
        return self.rank.id


def rank(experiment: Experiment, track: Track, goals: Sequence[Goal], anchors: Mapping[str, Scores]) -> Rank | None:
    """Where an explored experiment stands; None if it has no scores to stand on."""
    if experiment.outcome is None or experiment.outcome.scores is None:
        return None
    first, scores = track.objectives[0], experiment.outcome.scores
    if needs_anchors(track, goals):  # only then: ten thousand ranks are told in a moment
        scores = track.derive(scores, anchors)
    value = scores.mean.get(first.metric)
    if value is None:
        return None
    found = margins(goals, scores, track.not_applicable(experiment.spec))
    return Rank(shortfall(found), value if first.direction == "min" else -value, experiment.id, slack(found),
                experiment.spec.recipe(), outside=experiment.spec.code is not None)


def needs_anchors(track: Track, goals: Sequence[Goal]) -> bool:
    """Whether a rank rests on a metric that only the anchors tell."""
    named = {track.objectives[0].metric, *(goal.metric for goal in goals)}
    return any(metric.derived and metric.name in named for metric in track.metrics)


def shortfall(found: Sequence[float | None]) -> float:
    """How far all goals together are missed, from their margins; 0 when every one that applies is met."""
    return sum(MISSED_UNKNOWN if margin is None else max(-margin, 0.0) for margin in found)


def slack(found: Sequence[float | None]) -> float:
    """How far the tightest of the goals is over-fulfilled; 0 where one is not met."""
    return min((max(margin or 0.0, 0.0) for margin in found), default=0.0)


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
    """`states` are the candidate's confirmations, by seed. One that misses a goal has only to run as well again, which
    proves nothing of code from outside: it may carry the footage that it was scored on."""
    meets = rank.shortfall == 0
    fit = {"passed"} if meets else {"passed", "scored"}
    ended = [state for state in states.values() if state not in ("live", "void")]
    if any(state not in fit for state in ended):
        return Standing(rank, meets, "refuted")
    if len(ended) >= len(SEEDS):
        return Standing(rank, meets, "confirmed" if meets or not rank.outside else "unproven")
    return Standing(rank, meets, "confirming" if states else "candidate")


def leader(ranks: Sequence[Rank], confirms: Confirms) -> Standing | None:
    """Whom to believe in next: the best, until a confirmation refutes it; None if nobody is left.

    `ranks` are sorted, best first. The best on the score clips is often the one that only just meets the goals there,
    and others as close to a goal are refuted with it. So a candidate needs more slack than any that was refuted: by a
    step that doubles with each refutation, and, once one is confirmed, by any amount, which brackets the least slack
    that holds. If no candidate has so much, the one with the most is the last to be tried.
    """
    meeting = ranks[:bisect_left(ranks, Rank(0.0, inf, ""))]
    judged = [standing(rank, confirms[rank.recipe]) for rank in meeting if rank.recipe in confirms]
    refuted = [found.rank.slack for found in judged if found.status == "refuted"]
    open_ranks = [rank for rank in meeting if not refuted or _open(rank, confirms, max(refuted))]
    if any(found.status == "confirmed" for found in judged) or not refuted:
        enough = -inf
    else:
        enough = max(refuted) + FIRST_STEP * 2 ** (len(refuted) - 1)
    best = next((rank for rank in open_ranks if rank.slack > enough), None)
    best = best or max(open_ranks, key=lambda rank: rank.slack, default=None)
    best = best or _first_miss(ranks[len(meeting):], confirms)
    return standing(best, confirms.get(best.recipe, {})) if best else None


def _open(rank: Rank, confirms: Confirms, refuted_slack: float) -> bool:
    """Confirmed, or with more slack than any that was refuted."""
    status = standing(rank, confirms.get(rank.recipe, {})).status
    return status == "confirmed" or (status != "refuted" and rank.slack > refuted_slack)


def _first_miss(ranks: Sequence[Rank], confirms: Confirms) -> Rank | None:
    """The best of those that miss a goal."""
    return next((rank for rank in ranks
                 if standing(rank, confirms.get(rank.recipe, {})).status not in ("refuted", "unproven")), None)


def champion(ranks: Iterable[Rank], confirms: Confirms) -> Standing | None:
    """The best that is confirmed; `ranks` are sorted, best first."""
    standings = (standing(rank, confirms[rank.recipe]) for rank in ranks if rank.recipe in confirms)
    return next((found for found in standings if found.status == "confirmed"), None)


def missing_seeds(states: Mapping[int, ConfirmState]) -> list[int]:
    """The seeds whose confirmation has not been started, or said nothing."""
    return [seed for seed in SEEDS if states.get(seed, "void") == "void"]
