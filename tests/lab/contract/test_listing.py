"""Listing experiments: by state, in pages, newest first, all of them."""

from __future__ import annotations

import pytest

from lab.canonical import canonical_json
from lab.table import Write
from support.laboratory import Laboratory, experiment


@pytest.fixture
def many(lab: Laboratory) -> Laboratory:
    """1,020 experiments, every third one queued; put straight into the table, since only their listing is asked."""
    states = [(f"e{n:04d}", "queued" if n % 3 == 0 else "proposed") for n in range(1020)]
    for start in range(0, len(states), 60):
        lab.table.commit([Write("experiment", id, 0, canonical_json(experiment(id, state=state)), state)
                          for id, state in states[start:start + 60]])
    return lab


def test_all_experiments_are_walked_once_in_order(many: Laboratory) -> None:
    assert [e.id for e in many.ledger.all_experiments()] == [f"e{n:04d}" for n in range(1020)]
    assert [e.id for e in many.ledger.all_experiments("queued")] == [f"e{n:04d}" for n in range(0, 1020, 3)]


def test_the_newest_page_comes_first(many: Laboratory) -> None:
    assert [e.id for e in many.ledger.experiments(limit=2, newest_first=True)] == ["e1019", "e1018"]
    assert [e.id for e in many.ledger.experiments("queued", limit=2, newest_first=True, after="e1017")] == [
        "e1014", "e1011"]


def test_an_experiment_is_listed_under_the_state_it_has_now(lab: Laboratory) -> None:
    proposed, queued, (running, _), finished = lab.propose(), lab.queue(), lab.start(), lab.end()
    cancelled = lab.propose()
    lab.ledger.cancel(cancelled, "not wanted", op_id=lab.op())
    listed = {state: [e.id for e in lab.ledger.experiments(state)]
              for state in ("proposed", "queued", "running", "finished", "cancelled")}
    assert listed == {"proposed": [proposed], "queued": [queued], "running": [running], "finished": [finished],
                      "cancelled": [cancelled]}
