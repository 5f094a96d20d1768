"""What runs next: a designer's answer is a stranger's data, and only a point of the space becomes an experiment."""

from __future__ import annotations

import pytest

from lab.experiment import Experiment
from lab.local.table import SqliteTable
from lab.settings import Settings
from orchestrator.designers.protocol import Budget, Proposal
from orchestrator.planner import ClipSets, Planner
from orchestrator.proposer import Answer, Ask
from orchestrator.view import View
from support.curve.spec import GOALS, TRACK
from support.laboratory import Laboratory

POINT = {"degree": 3, "ridge": 0.5}
GOOD = Proposal(family="polynomial", params=dict(POINT), prediction={"fit_db": 12.0})


class Scripted:
    """A proposer that gives these answers, one an ask, and remembers who was asked."""

    def __init__(self, *proposals: Proposal) -> None:
        self._proposals, self.asked = list(proposals), list[str]()
        self._waiting: Ask | None = None

    @property
    def busy(self) -> bool:
        return self._waiting is not None

    def ask(self, ask: Ask) -> None:
        self.asked.append(ask.designer)
        self._waiting = ask

    def poll(self) -> Answer | None:
        ask, self._waiting = self._waiting, None
        return Answer(id=ask.id, designer="evolution", proposals=(self._proposals.pop(0),)) if ask else None

    def close(self) -> None:
        self._waiting = None


def planner(proposer: Scripted) -> Planner:
    lab = Laboratory(SqliteTable(":memory:"))
    view = View(TRACK, GOALS)
    view.load(lab.ledger)
    return Planner(view, lab.ledger, proposer, ClipSets("1" * 64, "2" * 64), Settings(), GOALS, None, 1)


def explored(asked: Planner) -> Experiment | None:
    assert asked.explore(Budget()) is None, "the first look only asks"
    return asked.explore(Budget())


def test_a_point_of_the_space_becomes_an_experiment_that_carries_its_prediction() -> None:
    experiment = explored(planner(Scripted(GOOD)))
    assert experiment is not None
    assert (experiment.spec.params, experiment.prediction) == (POINT, {"fit_db": 12.0})


@pytest.mark.parametrize("nonsense", [
    Proposal(family="unheard of", params={}),
    Proposal(family="polynomial", params={"degree": 3}),
    Proposal(family="polynomial", params={**POINT, "degree": -7}),
    Proposal(family="polynomial", params={**POINT, "degree": "three"}),
    Proposal(family="polynomial", params={**POINT, "ridge": float("nan")}),
    Proposal(family="polynomial", params=dict(POINT), prediction={"fit_db": float("inf")}),
], ids=["family", "missing", "outside", "kind", "not a number", "prediction"])
def test_nonsense_is_a_failure_of_the_designer_and_control_takes_its_turn(nonsense: Proposal) -> None:
    proposer = Scripted(nonsense, GOOD)
    asked = planner(proposer)
    assert explored(asked) is None
    assert explored(asked) is not None
    assert proposer.asked[-1] == "control"
    assert not asked.exhausted
