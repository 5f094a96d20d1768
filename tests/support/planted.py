"""A bi-objective problem whose answer is known, shaped like rate against quality, and a loop that plays it."""

from __future__ import annotations

from collections.abc import Callable

from lab.judging.hypervolume import hypervolume
from lab.space import Choice, Integer, Real, Value, When
from lab.track import Family, Goal, Objective
from orchestrator.designers.protocol import Budget, Designer, History, Problem, Proposal, Told, point_key

SPACE = (Choice(name="mode", values=("a", "b", "c")), Real(name="x", low=0, high=1),
         Real(name="y", low=0.01, high=1, log=True), Integer(name="effort", low=0, high=13),
         Real(name="q", low=0, high=1, when=When("mode", ("a",))),
         Choice(name="flag", values=(True, False), when=When("mode", ("b", "c"))))
OBJECTIVES = (Objective(metric="rate", direction="min", reference=10, log=True),
              Objective(metric="quality", direction="max", reference=20))
Params = dict[str, Value]


def planted(goals: tuple[Goal, ...] = ()) -> Problem:
    return Problem(families=(Family(name="planted", space=SPACE),), objectives=OBJECTIVES, goals=goals)


def measure(params: Params) -> dict[str, float]:
    """`x` trades rate for quality; everything else has one right value (a, 0.1, 3, 0.7) and costs both."""
    loss = {"a": 0.0, "b": 1.5, "c": 3.0}[str(params["mode"])] + 3 * abs(float(params["y"]) - 0.1)
    loss += 0.4 * abs(int(params["effort"]) - 3) + 4 * (float(params.get("q", 0.5)) - 0.7) ** 2
    return {"rate": 0.2 * 50 ** float(params["x"]) * (1 + 0.2 * loss), "quality": 30 + 15 * float(params["x"]) - loss}


def finished(id: str, proposal: Proposal) -> Told:
    return Told(id=id, designer="test", family=proposal.family, params=proposal.params, status="finished",
                objectives=measure(proposal.params))


def crashed(id: str, proposal: Proposal) -> Told:
    return Told(id=id, designer="test", family=proposal.family, params=proposal.params, status="failed", reason="crash")


def history_of(told: list[Told]) -> History:
    return History(told=tuple(told), tried=tuple(point_key(t.family, t.params) for t in told), proposed=len(told))


def play(designer: Designer, seed: int, asks: int, run: Callable[[str, Proposal], Told] = finished) -> list[Told]:
    """One experiment after the other, each told before the next is asked for."""
    told: list[Told] = []
    while len(told) < asks:
        (proposal,) = designer.propose(history_of(told), Budget(), 1, seed)
        told.append(run(str(len(told)), proposal))
    return told


def volume(told: list[Told]) -> float:
    return hypervolume([[t.objectives[o.metric] for o in OBJECTIVES] for t in told if t.objectives], OBJECTIVES)
