"""A leader is believed only after three seeds on unseen clips; one that fails there makes room for the next."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lab.experiment import Experiment, Outcome, Scores, State
from lab.judging.champion import (
    SEEDS,
    ConfirmState,
    Rank,
    champion,
    confirm_state,
    leader,
    missing_seeds,
    shortfall,
    standing,
)
from lab.judging.goals import GoalVerdict
from lab.track import Goal
from support.laboratory import CRASH, HARNESS_FAULT, SUCCESS, experiment

MEETS: Rank = (0.0, 0.8, "e1")
MISSES: Rank = (0.2, 0.3, "e2")
PARTIAL = Outcome(verdict="partial", scores=Scores(mean={}, clips={}))


def states(*found: ConfirmState) -> dict[int, ConfirmState]:
    return dict(zip(SEEDS, found, strict=False))


@pytest.mark.parametrize(("rank", "found", "status"), [
    (MEETS, (), "candidate"),
    (MEETS, ("passed", "live"), "confirming"),
    (MEETS, ("passed", "passed", "passed"), "confirmed"),
    (MEETS, ("passed", "scored", "passed"), "refuted"),
    (MEETS, ("passed", "failed"), "refuted"),
    (MISSES, ("scored", "scored", "passed"), "confirmed"),
    (MISSES, ("scored", "failed"), "refuted"),
    (MEETS, ("passed", "passed", "void"), "confirming"),
])
def test_standing(rank: Rank, found: tuple[ConfirmState, ...], status: str) -> None:
    assert standing(rank, states(*found)).status == status


@pytest.mark.parametrize(("state", "outcome", "said"), [
    ("running", None, "live"), ("cancelled", None, "void"), ("finished", HARNESS_FAULT, "void"),
    ("finished", CRASH, "failed"), ("finished", SUCCESS, "passed"), ("finished", PARTIAL, "scored"),
])
def test_a_confirmation_that_failed_by_our_fault_says_nothing(state: State, outcome: Outcome | None,
                                                              said: ConfirmState) -> None:
    run: Experiment = replace(experiment("e9", purpose="confirm"), state=state, outcome=outcome)
    assert confirm_state(run) == said


def test_the_leader_is_the_best_that_was_not_refuted() -> None:
    found = leader([MEETS, MISSES], {"e1": states("failed")})
    assert found is not None
    assert found.id == "e2"


def test_each_refuted_leader_doubles_the_step_down_to_the_next() -> None:
    ranks: list[Rank] = [(0.0, n / 10, f"e{n}") for n in range(20)]
    refuted: dict[str, dict[int, ConfirmState]] = {}
    tried = []
    while (found := leader(ranks, refuted)) is not None and len(tried) < 5:
        tried.append(found.id)
        refuted[found.id] = states("failed")
    assert tried == ["e0", "e1", "e3", "e7", "e15"]


def test_when_all_are_refuted_nobody_leads() -> None:
    assert leader([MEETS], {"e1": states("failed")}) is None


def test_the_champion_is_the_best_confirmed_one() -> None:
    believed = states("passed", "passed", "passed")
    found = champion({"e1": MEETS, "e2": MISSES}, {"e1": believed, "e2": believed})
    assert found is not None
    assert (found.id, found.meets) == ("e1", True)
    assert champion({"e1": MEETS}, {"e1": states("passed")}) is None


def test_a_seed_whose_confirmation_said_nothing_runs_again() -> None:
    assert missing_seeds(states("passed", "void")) == [SEEDS[1], SEEDS[2]]


def test_an_unknown_goal_counts_as_missed_by_its_whole_value_and_one_that_does_not_apply_not_at_all() -> None:
    goal = Goal(metric="m", relation="<=", value=1.0)
    verdicts = [GoalVerdict(goal=goal, status="unknown"), GoalVerdict(goal=goal, status="not_applicable"),
                GoalVerdict(goal=goal, status="missed", value=1.25, distance=0.25)]
    assert shortfall(verdicts) == 1.25
