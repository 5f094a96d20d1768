"""What interruptions cost, and how often a checkpoint is worth its keep."""

from __future__ import annotations

from random import Random

import pytest

from gpu_workers.interruption import checkpoint_interval_s, expected_billed_h, too_dear

PER_H = 0.15


def test_two_days_without_checkpoints_cost_a_year_and_with_them_two_days() -> None:
    assert expected_billed_h(48, PER_H) == pytest.approx(8900, rel=0.01)
    interval_h = checkpoint_interval_s(10, PER_H, least_s=30) / 3600
    assert expected_billed_h(48, PER_H, interval_h, cost_h=10 / 3600) == pytest.approx(50, abs=1)


def test_the_interval_is_where_both_costs_together_are_least() -> None:
    best_s = checkpoint_interval_s(20, PER_H, least_s=1)
    assert best_s == pytest.approx((2 * 20 * 3600 / PER_H) ** 0.5)

    def billed_h(interval_s: float) -> float:
        return expected_billed_h(48, PER_H, interval_s / 3600, cost_h=20 / 3600)
    assert billed_h(best_s) == pytest.approx(min(billed_h(best_s * 1.02 ** k) for k in range(-150, 150)), rel=1e-4)


def test_dearer_checkpoints_are_rarer_and_frequent_interruptions_make_them_denser() -> None:
    assert checkpoint_interval_s(40, PER_H, 1) == pytest.approx(2 * checkpoint_interval_s(10, PER_H, 1))
    assert checkpoint_interval_s(10, 4 * PER_H, 1) == pytest.approx(checkpoint_interval_s(10, PER_H, 1) / 2)


def test_the_interval_is_never_shorter_than_a_person_allows_and_just_that_where_nothing_interrupts() -> None:
    assert checkpoint_interval_s(0.001, PER_H, least_s=30) == 30
    assert checkpoint_interval_s(20, 0, least_s=30) == 30


def test_the_expectation_is_what_machines_that_are_taken_away_at_random_come_to() -> None:
    random = Random(1)

    def billed_h(work_h: float, interval_h: float, cost_h: float) -> float:
        spent = done = 0.0
        while done < work_h:
            stretch, lives = min(interval_h, work_h - done) + cost_h, random.expovariate(0.5)
            spent += min(stretch, lives)
            done += interval_h if lives > stretch else 0.0
        return spent
    for interval_h, cost_h in ((6.0, 0.0), (0.5, 0.05)):
        mean = sum(billed_h(6.0, interval_h, cost_h) for _ in range(20_000)) / 20_000
        assert expected_billed_h(6.0, 0.5, interval_h, cost_h) == pytest.approx(mean, rel=0.05)


def test_a_phase_is_too_long_for_a_machine_that_may_be_taken_where_it_would_be_billed_twice() -> None:
    assert not too_dear(8 * 3600, PER_H)
    assert too_dear(9 * 3600, PER_H)
    assert too_dear(1e9, PER_H)  # an expectation beyond all floats
    assert not too_dear(48 * 3600, 0)
