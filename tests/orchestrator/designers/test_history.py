"""Designers are told what they may know: this track's experiments, never a confirmation, and never without bound."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from lab.experiment import Experiment, Outcome, Scores, Spec
from lab.track import Goal, Track
from orchestrator.designers.history import FRONT, Memory, tell
from orchestrator.designers.protocol import Problem, point_key, problem
from support.planted import OBJECTIVES, SPACE, planted

GOAL = Goal(metric="quality", relation=">=", value=40.0)
CLIPS = "c" * 64


def no_facts(path: Path) -> dict[str, object]:
    return {}


@pytest.fixture
def track() -> Track:
    return Track(name="planted", protocol=1, families=planted().families, metrics=(), objectives=OBJECTIVES,
                 goals=(GOAL,), phases=lambda spec: (), anchors=(), derive=lambda scores, anchors: scores,
                 facts=no_facts, not_applicable=lambda spec: frozenset(), explain=lambda scores: "")


@pytest.fixture
def memory(track: Track) -> Memory:
    return Memory(track, problem(track), CLIPS, newest=20)


def proposed(id: str, x: float = 0.5, **more: object) -> Experiment:
    spec = Spec(track="planted", family="planted", clips=CLIPS, seed=0, protocol=1,
                params={"mode": "b", "x": x, "y": 0.1, "effort": 3, "flag": True})
    new = Experiment(id=id, spec=spec, fingerprint=spec.fingerprint(), purpose="explore", designer="control")
    return msgspec.structs.replace(new, **more)


def ended(experiment: Experiment, rate: float | None = 1.0, quality: float | None = 30.0) -> Experiment:
    scores = Scores(mean={"rate": rate, "quality": quality}, clips={})
    return with_outcome(experiment, Outcome(verdict="partial", scores=scores))


def with_outcome(experiment: Experiment, outcome: Outcome) -> Experiment:
    return msgspec.structs.replace(experiment, state="finished", outcome=outcome)


def other_spec(experiment: Experiment, **change: object) -> Experiment:
    return msgspec.structs.replace(experiment, spec=msgspec.structs.replace(experiment.spec, **change))


def test_an_experiment_runs_until_it_ended_and_then_is_told_once(memory: Memory) -> None:
    memory.see(proposed("a"))
    assert [c.params["x"] for c in memory.history().running] == [0.5]
    for _ in range(2):
        memory.see(ended(proposed("a")))
    history = memory.history(seen=17)
    assert history.running == ()
    assert [(t.id, t.status, t.objectives) for t in history.told] == [("a", "finished", {"rate": 1.0, "quality": 30.0})]
    assert (history.proposed, history.seen) == (1, 17)


def test_goals_are_told_as_distances(memory: Memory) -> None:
    memory.see(ended(proposed("a"), quality=30.0))
    assert memory.history().told[0].violations == {str(GOAL): 0.25}


def test_a_late_image_of_an_ended_experiment_does_not_start_it_again(memory: Memory) -> None:
    memory.see(ended(proposed("a")))
    memory.see(proposed("a", state="running"))
    assert memory.history().running == ()


def test_no_designer_sees_a_confirmation(memory: Memory) -> None:
    memory.see(proposed("a", purpose="confirm"))
    memory.see(ended(proposed("b", purpose="confirm")))
    history = memory.history()
    assert (history.told, history.running, history.tried, history.proposed) == ((), (), (), 0)
    assert tell(ended(proposed("b", purpose="confirm")), planted()) is None


def test_an_anchor_is_told_but_counts_as_nobodys_proposal(memory: Memory) -> None:
    memory.see(ended(proposed("a", purpose="anchor")))
    assert (len(memory.history().told), memory.history().proposed) == (1, 0)


@pytest.mark.parametrize("change", [{"clips": "d" * 64}, {"protocol": 2}, {"track": "another"}])
def test_numbers_that_are_not_comparable_are_left_out(memory: Memory, change: dict[str, object]) -> None:
    memory.see(ended(other_spec(proposed("a"), **change)))
    assert memory.history().told == ()


def test_a_failure_is_told_with_its_reason(memory: Memory) -> None:
    memory.see(with_outcome(proposed("a"), Outcome(verdict="failed", reason="diverged")))
    told = memory.history().told[0]
    assert (told.status, told.reason, told.objectives) == ("failed", "diverged", {})


def test_a_fault_of_the_harness_is_told_to_nobody_and_the_point_is_free_again(memory: Memory) -> None:
    memory.see(proposed("a"))
    assert len(memory.history().tried) == 1
    memory.see(with_outcome(proposed("a"), Outcome(verdict="failed", reason="harness_fault")))
    assert (memory.history().told, memory.history().tried) == ((), ())


def test_a_cancelled_point_may_be_proposed_again(memory: Memory) -> None:
    memory.see(proposed("a"))
    memory.see(proposed("a", state="cancelled"))
    assert (memory.history().told, memory.history().tried, memory.history().running) == ((), (), ())


def test_an_experiment_that_gives_no_objective_is_infeasible(memory: Memory) -> None:
    memory.see(ended(proposed("a"), rate=None))
    memory.see(with_outcome(proposed("b", x=0.1), Outcome(verdict="pruned")))
    claimed = Scores(mean={"rate": 0.1, "quality": 60.0}, clips={}, provenance={"rate": "claimed"})
    memory.see(with_outcome(proposed("c", x=0.2), Outcome(verdict="partial", scores=claimed)))
    assert [(t.id, t.status) for t in memory.history().told] == [(id, "infeasible") for id in "abc"]


def test_the_history_is_capped_but_keeps_the_front_and_every_tried_point(memory: Memory) -> None:
    memory.see(ended(proposed("best", x=0.99), rate=0.1, quality=60.0))
    for i in range(100):
        memory.see(ended(proposed(f"e{i:03}", x=i / 1000), rate=2.0 + i, quality=30.0))
    history = memory.history()
    assert [t.id for t in history.told] == ["best"] + [f"e{i:03}" for i in range(80, 100)]
    assert memory.entered_front("best")
    assert not memory.entered_front("e099")
    assert len(history.tried) == history.proposed == 101
    assert point_key("planted", proposed("x", x=0.005).spec.params) in history.tried


def test_a_long_front_is_thinned_with_both_ends_kept(memory: Memory) -> None:
    for i in range(300):
        memory.see(ended(proposed(f"e{i:03}", x=i / 1000), rate=1.0 + i, quality=30.0 + i))
    told = [t.id for t in memory.history().told]
    assert len(told) <= FRONT + 20
    assert {"e000", "e299"} <= set(told)
    assert len({int(id[1:]) // 100 for id in told}) == 3


def test_a_history_survives_its_journey_as_json(memory: Memory) -> None:
    memory.see(ended(proposed("a")))
    memory.see(proposed("b", x=0.25))
    history = memory.history()
    assert msgspec.json.decode(msgspec.json.encode(history), type=type(history)) == history


def test_the_problem_takes_the_persons_goals_and_families(track: Track) -> None:
    own = Goal(metric="rate", relation="<=", value=2.0)
    assert problem(track).goals == (GOAL,)
    assert problem(track, goals=[own]).goals == (own,)
    assert problem(track, families=["planted"]) == Problem(families=track.families, objectives=OBJECTIVES,
                                                           goals=(GOAL,))
    assert problem(track).families[0].space == SPACE
