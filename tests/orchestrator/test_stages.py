"""What moves a run from stage to stage."""

from __future__ import annotations

from typing import Any

import pytest

from lab.control import Control
from orchestrator.stages import Situation, decide

QUIET = Situation(stage="explore", elapsed_s=10.0, minutes=None, control=Control(), level="ok", override=False,
                  starved=False, quota_done=False, exhausted=False, goal_reached=False, goal_in_sight=False,
                  confirmed=False, running=1)


def situation(**fields: Any) -> Situation:
    return Situation(**{name: getattr(QUIET, name) for name in QUIET.__struct_fields__} | fields)


def test_nothing_special_goes_on_exploring() -> None:
    assert decide(QUIET).stage == "explore"


@pytest.mark.parametrize("why", ["quota_done", "exhausted", "goal_in_sight"])
def test_exploring_ends_in_confirming_the_leader(why: str) -> None:
    assert decide(situation(**{why: True})).stage == "confirm"


def test_a_fifth_of_the_minutes_is_kept_for_confirming() -> None:
    assert decide(situation(minutes=10, elapsed_s=479)).stage == "explore"
    assert decide(situation(minutes=10, elapsed_s=480)).stage == "confirm"


def test_the_run_is_complete_when_the_leader_is_confirmed() -> None:
    assert decide(situation(stage="confirm")).stage == "confirm"
    assert decide(situation(stage="confirm", confirmed=True)).stage == "drain"


def test_a_run_is_not_complete_while_an_anchor_waits() -> None:
    assert decide(situation(stage="confirm", confirmed=True, live=1)).stage == "confirm"


@pytest.mark.parametrize(("ending", "release"), [
    ({"control": Control(stop="drain")}, False), ({"control": Control(stop="now")}, True),
    ({"level": "critical"}, True), ({"starved": True}, False), ({"goal_reached": True}, False),
    ({"minutes": 1.0, "elapsed_s": 60.0}, True)])
def test_what_ends_a_run_ends_it_at_any_stage_and_says_why(ending: dict[str, Any], release: bool) -> None:
    for stage in ("explore", "confirm"):
        decision = decide(situation(stage=stage, **ending))
        assert decision.stage == "drain"
        assert decision.release is release
        assert decision.why


def test_what_always_fails_by_our_own_fault_is_not_paid_for_for_ever() -> None:
    assert decide(situation(faults=("the store has no file",) * 4)).stage == "explore"
    stopped = decide(situation(faults=("the store has no file",) * 5))
    assert (stopped.stage, stopped.why) == ("drain", "the harness failed 5 times in a row: the store has no file")


def test_a_person_may_let_the_lab_go_on_at_the_critical_level() -> None:
    assert decide(situation(level="critical", override=True)).stage == "explore"


def test_draining_is_done_when_nothing_runs_and_never_turns_back() -> None:
    assert decide(situation(stage="drain")).stage == "drain"
    assert decide(situation(stage="drain", running=0)).stage == "done"
    assert decide(situation(stage="done", control=Control(stop="now"))).stage == "done"
