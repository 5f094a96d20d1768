"""The benchmark of a large lab, small: its world keeps the invariants, and what an experiment costs does not grow."""

from __future__ import annotations

import pytest
from simulator.ground import OneMachine

from benchmarks.scale import Outcome, growth, price_of, run


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [run(size, size // 20, 0.005, OneMachine(), "one machine") for size in (40, 160)]


def test_an_experiment_of_a_larger_lab_asks_for_no_more(outcomes: list[Outcome]) -> None:
    small, large = (one.calls.total() / one.experiments for one in outcomes)
    assert large < 1.1 * small
    assert 40 < large < 150  # some nine transactions, and what they rest on


def test_faults_strike_and_every_place_that_came_free_is_taken_again(outcomes: list[Outcome]) -> None:
    large = outcomes[-1]
    assert large.faults["message_doubled"] > 0
    assert large.faults["worker noticed"] > 0
    assert len(large.reactions_s) > 100
    assert min(large.reactions_s) > 0
    assert growth(outcomes).row_count == 2


def test_a_request_is_priced_by_the_list() -> None:
    assert price_of("SQS million requests") == pytest.approx(0.40 / 1e6)
    assert price_of("S3 thousand writes") == pytest.approx(0.005 / 1e3)
