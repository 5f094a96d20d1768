"""What is reserved, expected and billed, in numbers."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lab.experiment import Attempt, Ending, Spec, Terms, TrainingLimit
from lab.money import Budget
from lab.settings import parse
from lab.track import load_track
from orchestrator.budgeting import expected, upper_bound_s, used_s, worst_level
from support.laboratory import experiment

SETTINGS = parse("[limits]\nlease_s = 60\ngrace_s = 15\n")


def attempt(ending: Ending, used: float) -> Attempt:
    return Attempt(fence=1, worker="w", device_class="c", claimed_at=0.0, ending=ending, used_s=used)


def test_what_a_worker_reported_is_what_is_billed() -> None:
    for ending in ("finished", "interrupted", "released"):
        assert used_s(attempt(ending, 12.0), False, 99.0, SETTINGS) == 12.0


def test_a_vanished_attempt_is_billed_to_the_end_of_its_lease() -> None:
    assert used_s(attempt("lost", 0.0), False, 40.0, SETTINGS) == 40.0 + 60.0 + 15.0


def test_a_cancelled_attempt_is_billed_as_one_that_vanished() -> None:
    assert used_s(attempt("released", 0.0), True, 40.0, SETTINGS) == 115.0


def test_a_training_by_the_clock_may_take_its_time_and_the_money_for_it_is_reserved() -> None:
    """A person's limit on phases ends what hangs; it does not cut a training that they asked for."""
    track = load_track("codec")
    spec = Spec(track="codec", family="restore", params={"mode": "generic"}, clips="0" * 64, seed=1, protocol=1,
                limit=TrainingLimit(seconds=3600.0, device_class="c"))
    bound_s = upper_bound_s(track, experiment("e0001", spec), Terms(phase_s=600.0))
    assert bound_s == pytest.approx(1.2 * 3600 + 120 + 2 * 600 + 60 + 15)
    by_steps = replace(spec, limit=TrainingLimit(steps=1000))
    assert upper_bound_s(track, experiment("e0001", by_steps), Terms(phase_s=600.0)) == 3 * 600 + 75


def test_what_an_attempt_was_given_counts_and_not_what_was_pushed_since() -> None:
    given = replace(attempt("lost", 0.0), terms=Terms(lease_s=200.0, grace_s=20.0))
    assert used_s(given, False, 40.0, SETTINGS) == 260.0


def test_running_work_is_expected_to_cost_what_recent_work_did_but_never_more_than_reserved() -> None:
    running: list[Any] = [object(), object()]
    assert expected(running, [10, 20], 1000) == 30
    assert expected(running, [10, 20], 25) == 25
    assert expected(running, [], 1000) == 1000


def test_the_worst_budget_sets_the_level() -> None:
    fine = Budget(id="2026-11", cap=1000, free=900, spent=100)
    tight = Budget(id="run-1", cap=100, free=10, spent=70)
    assert worst_level([fine], 0) == "ok"
    assert worst_level([fine, tight], 0) == "medium"
    assert worst_level([fine, tight], 15) == "high"
    assert worst_level([fine, tight], 25) == "critical"
