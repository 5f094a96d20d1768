"""What is reserved and billed, in numbers."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lab.experiment import Attempt, Ending, Spec, Terms, TrainingLimit
from lab.settings import parse
from lab.track import load_track
from orchestrator.budgeting import upper_bound_s, used_s
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
