"""What the designers may know of the ledger, kept as experiments change: bounded, and blind to `confirm`.

Only experiments of this track, protocol and clip set count: numbers of another set are not comparable. A fault of the
harness is never the candidate's, so it is told to nobody and the point may be tried again, as after a cancellation.
"""

from __future__ import annotations

from collections import deque

from lab.experiment import Experiment, Outcome, Scores, Spec
from lab.judging.goals import judge
from lab.judging.pareto import Front, Point
from lab.track import Track
from orchestrator.designers.protocol import Candidate, History, Problem, Told, point_key

NEWEST = 300  # experiments told besides the front: an ask rebuilds its study from all of them
FRONT = 100  # of the front; a longer one is thinned evenly, with both of its ends kept


class Memory:
    """Give it every experiment as it stands (`see`), in the order in which designers may learn of it."""

    def __init__(self, track: Track, problem: Problem, clips: str, newest: int = NEWEST) -> None:
        self._track, self._problem, self._clips = track, problem, clips
        self._newest: deque[tuple[int, Told]] = deque(maxlen=newest)
        self._front = Front(problem.objectives)
        self._on_front: dict[str, tuple[int, Told]] = {}
        self._ended: set[str] = set()
        self._running: dict[str, Candidate] = {}
        self._tried: dict[str, str] = {}  # point key → the experiment that stands for it
        self._proposed: set[str] = set()

    def see(self, experiment: Experiment) -> None:
        """An experiment that ended stays as it was told; anything older of it is ignored."""
        if not self._ours(experiment) or experiment.id in self._ended:
            return
        if experiment.purpose == "explore":
            self._proposed.add(experiment.id)
        key = point_key(experiment.spec.family, experiment.spec.params)
        if experiment.state in ("finished", "cancelled"):
            self._end(experiment, key)
        else:
            self._running[experiment.id] = Candidate(family=experiment.spec.family, params=experiment.spec.params)
            self._tried.setdefault(key, experiment.id)

    def history(self, seen: int = 0) -> History:
        """As of now. `seen` is the number of the last change that was taken in."""
        told = dict(sorted([*self._newest, *self._front_rows()], key=lambda row: row[0]))
        return History(told=tuple(told.values()), running=tuple(self._running.values()),
                       tried=tuple(self._tried), proposed=len(self._proposed), seen=seen)

    def entered_front(self, id: str) -> bool:
        """Whether the experiment is on the front that the designers are shown."""
        return id in self._on_front

    def _front_rows(self) -> list[tuple[int, Told]]:
        rows = list(self._on_front.values())  # in the order of the first objective
        if len(rows) <= FRONT:
            return rows
        return [rows[round(i * (len(rows) - 1) / (FRONT - 1))] for i in range(FRONT)]

    def _ours(self, experiment: Experiment) -> bool:
        spec = experiment.spec
        return (experiment.purpose != "confirm" and spec.track == self._track.name and spec.clips == self._clips
                and spec.protocol == self._track.protocol)

    def _end(self, experiment: Experiment, key: str) -> None:
        self._ended.add(experiment.id)
        self._running.pop(experiment.id, None)
        told = tell(experiment, self._problem, self._track.not_applicable(experiment.spec))
        if told is None:
            if self._tried.get(key) == experiment.id:
                del self._tried[key]
            return
        self._tried.setdefault(key, experiment.id)
        row = (len(self._ended), told)
        self._newest.append(row)
        self._keep_if_on_front(row)

    def _keep_if_on_front(self, row: tuple[int, Told]) -> None:
        told = row[1]
        if told.status != "finished":
            return
        values = tuple(told.objectives[o.metric] for o in self._problem.objectives)
        if self._front.add(Point(told.id, values)):
            self._on_front[told.id] = row
            self._on_front = {p.id: self._on_front[p.id] for p in self._front.points()}


def tell(experiment: Experiment, problem: Problem, not_applicable: frozenset[str] = frozenset()) -> Told | None:
    """An ended experiment as designers see it; None where there is nothing to learn from it."""
    outcome, spec = experiment.outcome, experiment.spec
    if experiment.purpose == "confirm" or outcome is None or outcome.reason == "harness_fault":
        return None
    if outcome.verdict == "failed":
        return _told(experiment, spec, "failed", outcome.reason or "")
    if outcome.scores is None or (objectives := _objectives(problem, outcome.scores)) is None:
        return _told(experiment, spec, "infeasible", _why_infeasible(outcome))
    verdicts = judge(problem.goals, outcome.scores, not_applicable)
    return Told(id=experiment.id, designer=experiment.designer, family=spec.family, params=spec.params,
                status="finished", objectives=objectives,
                violations={str(v.goal): v.distance for v in verdicts if v.distance is not None})


def _told(experiment: Experiment, spec: Spec, status: str, reason: str) -> Told:
    return Told(id=experiment.id, designer=experiment.designer, family=spec.family, params=spec.params,
                status="failed" if status == "failed" else "infeasible", reason=reason)


def _objectives(problem: Problem, scores: Scores) -> dict[str, float] | None:
    """The objectives' values, or None if one is missing or only claimed."""
    found: dict[str, float] = {}
    for objective in problem.objectives:
        value = scores.mean.get(objective.metric)
        if value is None or scores.provenance.get(objective.metric) == "claimed":
            return None
        found[objective.metric] = value
    return found


def _why_infeasible(outcome: Outcome) -> str:
    return "pruned" if outcome.verdict == "pruned" else "an objective was not measured"
