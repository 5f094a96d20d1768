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
    slack,
    standing,
)
from lab.judging.goals import margins
from lab.track import Goal
from support.laboratory import CRASH, HARNESS_FAULT, SUCCESS, experiment

MEETS = Rank(0.0, 0.8, "e1", slack=0.01, recipe="e1")
MISSES = Rank(0.2, 0.3, "e2", recipe="e2")
OUTSIDE = Rank(0.1, 0.2, "e3", recipe="e3", outside=True)
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
    (OUTSIDE, ("scored", "live"), "confirming"),
    (OUTSIDE, ("scored", "scored", "passed"), "unproven"),
    (OUTSIDE, ("scored", "failed"), "refuted"),
    (OUTSIDE._replace(shortfall=0.0), ("passed", "passed", "passed"), "confirmed"),
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


def test_code_from_outside_that_misses_a_goal_is_never_the_champion_and_makes_room_for_the_next() -> None:
    """It may carry the clips that it was scored on, and on others has only to run."""
    ran = {"e3": states("scored", "scored", "scored")}
    assert champion([OUTSIDE, MISSES], ran) is None
    found = leader([OUTSIDE, MISSES], ran)
    assert found is not None
    assert found.id == "e2"
    believed = champion([OUTSIDE, MISSES], ran | {"e2": states("scored", "scored", "scored")})
    assert believed is not None
    assert believed.id == "e2"


LADDER = [Rank(0.0, n / 10, f"e{n}", 0.001 * n, recipe=f"e{n}") for n in range(20)]  # the more bits, the more slack


def tried(ranks: list[Rank], confirms: dict[str, dict[int, ConfirmState]]) -> list[str]:
    """Who leads, one after the other, if each is refuted."""
    order: list[str] = []
    while (found := leader(ranks, confirms)) is not None and found.status != "confirmed":
        assert found.id not in order, "a refuted one may not lead again"
        order.append(found.id)
        confirms = {**confirms, found.id: states("failed")}
    return order


def test_each_refutation_doubles_the_slack_that_the_next_needs_and_the_last_try_is_the_one_with_the_most() -> None:
    assert tried(LADDER, {}) == ["e0", "e3", "e9", "e19"]


def test_between_a_refuted_and_a_confirmed_one_the_search_goes_on() -> None:
    believed = states("passed", "passed", "passed")
    assert tried(LADDER, {"e0": states("scored"), "e3": states("scored"), "e9": believed}) == [
        "e4", "e5", "e6", "e7", "e8"]


def test_a_newcomer_that_ranks_before_a_refuted_one_is_tried_if_it_has_the_slack() -> None:
    refuted = {"e5": states("scored")}
    tight, ample = Rank(0.0, -1.0, "e98", 0.004, recipe="e98"), Rank(0.0, -1.0, "e99", 0.02, recipe="e99")
    assert tried([tight, *LADDER], refuted)[0] == "e8"
    assert tried([ample, *LADDER], refuted)[0] == "e99"


def test_when_all_that_meet_the_goals_are_refuted_the_nearest_miss_leads() -> None:
    assert tried([MEETS, MISSES], {}) == ["e1", "e2"]


def test_slack_is_that_of_the_tightest_goal_that_applies() -> None:
    goals = [Goal(metric="a", relation="<=", value=2.0), Goal(metric="b", relation=">=", value=10.0),
             Goal(metric="c", relation="<=", value=1.0)]
    scores = Scores(mean={"a": 1.0, "b": 11.0, "c": None}, clips={})
    assert slack(margins(goals, scores, frozenset({"c"}))) == pytest.approx(0.1)
    assert slack(margins(goals, scores)) == 0.0, "an unknown goal has no slack"


def test_when_all_are_refuted_nobody_leads() -> None:
    assert leader([MEETS], {"e1": states("failed")}) is None


def test_the_champion_is_the_best_confirmed_one() -> None:
    believed = states("passed", "passed", "passed")
    found = champion([MEETS, MISSES], {"e1": believed, "e2": believed})
    assert found is not None
    assert (found.id, found.meets) == ("e1", True)
    assert champion([MEETS], {"e1": states("passed")}) is None


def test_those_that_differ_in_their_seed_alone_share_their_confirmations() -> None:
    spec = experiment("e1").spec
    other = replace(spec, seed=spec.seed + 7)
    assert spec.recipe() == other.recipe() == replace(spec, clips="f" * 64).recipe()
    assert spec.recipe() != replace(spec, params={"degree": 9}).recipe()
    again = MEETS._replace(id="e9", loss=0.9, recipe=MEETS.recipe)
    for ranks in ([MEETS, again], [again]):
        found = leader(ranks, {"e1": states("passed", "passed", "passed")})
        assert found is not None
        assert found.status == "confirmed"


def test_a_seed_whose_confirmation_said_nothing_runs_again() -> None:
    assert missing_seeds(states("passed", "void")) == [SEEDS[1], SEEDS[2]]


def test_an_unknown_goal_counts_as_missed_by_its_whole_value_and_one_that_does_not_apply_not_at_all() -> None:
    goals = [Goal(metric=name, relation="<=", value=1.0) for name in ("unknown", "missed", "met", "exempt")]
    scores = Scores(mean={"missed": 1.25, "met": 0.5}, clips={})
    assert shortfall(margins(goals, scores, frozenset({"exempt"}))) == 1.25
