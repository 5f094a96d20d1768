"""Sixteen processes at once over one ledger: one winner each, no cap passed, no number missing or given twice."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from lab.clock import SystemClock
from lab.ledger import Ledger
from support import races
from support.laboratory import BUDGET, USD, Laboratory
from support.races import RUNNERS, race
from support.tables import Place


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Spawned, not forked: what a parent had open must not leak into a runner."""
    with ProcessPoolExecutor(RUNNERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def shared(shared_place: Place) -> Laboratory:
    return Laboratory(shared_place.open())


def assert_numbered_without_gaps(lab: Laboratory) -> None:
    changes = lab.ledger.changes(0, 10_000)
    assert [change.n for change in changes] == list(range(1, lab.ledger.last_change() + 1))
    assert max(Counter(change.op_id for change in changes).values()) == 1


def test_each_experiment_is_claimed_by_one_worker(
        pool: ProcessPoolExecutor, shared: Laboratory, shared_place: Place, tmp_path: Path) -> None:
    ids = [shared.ready() for _ in range(8)]
    won = race(pool, shared_place, tmp_path, races.claims, ids)
    assert sorted(id for mine in won for id in mine) == ids
    for me, mine in enumerate(won):
        for id in mine:
            assert [attempt.worker for attempt in shared.ledger.experiment(id).attempts] == [f"w{me}"]
    assert_numbered_without_gaps(shared)


def test_no_race_passes_the_cap(
        pool: ProcessPoolExecutor, shared: Laboratory, shared_place: Place, tmp_path: Path) -> None:
    shared.accounts.set_cap(BUDGET, 11 * USD + USD // 2, op_id=shared.op())
    ids = [shared.queue() for _ in range(RUNNERS)]
    results = race(pool, shared_place, tmp_path, races.reserves, ids, shared.epoch)
    assert (sum(fitted for fitted, _ in results), sum(refused for _, refused in results)) == (11, RUNNERS - 11)
    budget = shared.accounts.balance(BUDGET)
    assert budget is not None
    assert (budget.free, budget.reserved) == (USD // 2, 11 * USD)
    assert_numbered_without_gaps(shared)


def test_each_reservation_is_settled_once(
        pool: ProcessPoolExecutor, shared: Laboratory, shared_place: Place, tmp_path: Path) -> None:
    keys = [shared.reserve(shared.queue()) for _ in range(4)]
    assert sum(race(pool, shared_place, tmp_path, races.settles, keys, shared.epoch)) == 4
    assert sorted(entry.key for entry in shared.accounts.entries()) == keys
    budget = shared.accounts.balance(BUDGET)
    assert budget is not None
    assert (budget.spent, budget.reserved) == (4 * USD // 2, 0)


def test_changes_are_numbered_one_by_one_and_followed_while_they_are_made(
        pool: ProcessPoolExecutor, shared_place: Place, tmp_path: Path) -> None:
    count = 5
    seen = race(pool, shared_place, tmp_path, races.writes, count)
    every = list(range(1, (RUNNERS - 2) * count + 1))
    assert [numbers for numbers in seen if numbers] == [every, every]
    assert Ledger(shared_place.open(), SystemClock()).last_change() == every[-1]


def test_one_op_id_is_done_once_however_many_call_it(
        pool: ProcessPoolExecutor, shared: Laboratory, shared_place: Place, tmp_path: Path) -> None:
    before = shared.ledger.last_change()
    answers = race(pool, shared_place, tmp_path, races.doubles, 4, shared.epoch)
    assert answers == [["e0", "e1", "e2", "e3"]] * RUNNERS
    assert shared.ledger.last_change() == before + 4
    assert_numbered_without_gaps(shared)


def test_one_specification_is_proposed_once(
        pool: ProcessPoolExecutor, shared: Laboratory, shared_place: Place, tmp_path: Path) -> None:
    assert sum(race(pool, shared_place, tmp_path, races.twins, 3, shared.epoch)) == 3
    assert len(list(shared.ledger.all_experiments())) == 3


def test_one_of_many_daemons_gets_the_lab(
        pool: ProcessPoolExecutor, shared_place: Place, tmp_path: Path) -> None:
    epochs = race(pool, shared_place, tmp_path, races.leases)
    assert sorted(epochs) == [0] * (RUNNERS - 1) + [1]
    lease = Ledger(shared_place.open(), SystemClock()).office.lease()
    assert lease is not None
    assert lease.holder == f"d{epochs.index(1)}"
