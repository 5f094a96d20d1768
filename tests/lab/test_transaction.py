"""A decision commits only over what it saw: everything read is checked, lost races are run again, and not for ever."""

from __future__ import annotations

from random import Random

import pytest

from lab.errors import Conflict, Refused, Unavailable
from lab.local.table import SqliteTable
from lab.table import Write
from lab.transaction import TRIES, Transaction, Transactor
from support.tables import LosesReplies


@pytest.fixture
def table() -> SqliteTable:
    return SqliteTable(":memory:")


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def open_transactor(table: SqliteTable, pauses: list[float]) -> Transactor:
    """Over a table that locks no one out, so that others may write between its reads and its commit."""
    return Transactor(LosesReplies(table), lambda: 0.0, Random(1), pauses.append)


def bump(table: SqliteTable, id: str) -> None:
    """Another writer."""
    seen = table.get("thing", id)
    table.commit([Write("thing", id, seen.version if seen else 0, b"1")])


def test_a_record_that_was_only_read_must_still_stand_at_the_commit(
        table: SqliteTable, open_transactor: Transactor) -> None:
    seen = []

    def decide(t: Transaction) -> str:
        seen.append(t.read("thing", "guard", int))
        if len(seen) == 1:
            bump(table, "guard")
        t.put("thing", "result", len(seen))
        return "done"

    assert open_transactor.run("act", "x", "op", decide, str) == "done"
    assert seen == [None, 1], "it was decided again over what stands now"
    record = table.get("thing", "result")
    assert record is not None
    assert record.body == b"2"


def test_a_record_that_was_not_there_must_still_not_be_there(table: SqliteTable, open_transactor: Transactor) -> None:
    tries = []

    def decide(t: Transaction) -> int:
        known = t.read("thing", "a", int)
        tries.append(known)
        if known is None:
            bump(table, "a")
            t.put("thing", "a", 7)
        return known or 0

    assert open_transactor.run("act", "x", "op", decide, int) == 1
    assert tries == [None, 1]


def test_a_lost_race_waits_a_little_and_longer_each_time(open_transactor: Transactor, table: SqliteTable,
                                                        pauses: list[float]) -> None:
    def decide(t: Transaction) -> str:
        t.read("thing", "a", int)
        bump(table, "a")
        return "never"

    with pytest.raises(Unavailable, match=f"lost {TRIES} races"):
        open_transactor.run("act", "x", "op", decide, str)
    assert len(pauses) == TRIES
    assert max(pauses[:4]) <= 0.016
    assert 0.05 < max(pauses) <= 0.25
    assert table.get("head", "changes") is None


def test_a_refusal_writes_nothing_and_is_not_tried_again(table: SqliteTable, open_transactor: Transactor,
                                                       pauses: list[float]) -> None:
    def decide(t: Transaction) -> str:
        t.put("thing", "a", 1)
        raise Refused("no")

    with pytest.raises(Refused):
        open_transactor.run("act", "x", "op", decide, str)
    assert (pauses, list(table.page("thing")), table.get("op", "op"), table.get("head", "changes")) == (
        [], [], None, None)


def test_a_decision_that_changes_nothing_is_still_answered_and_numbered(
        table: SqliteTable, open_transactor: Transactor) -> None:
    answers = [open_transactor.run("look", "x", "op", lambda t: 5, int) for _ in range(2)]
    head = table.get("head", "changes")
    assert head is not None
    assert (answers, head.version) == ([5, 5], 1)


def test_writing_over_a_record_that_was_not_read_conflicts(table: SqliteTable) -> None:
    bump(table, "a")
    transaction = Transaction(table)
    transaction.put("thing", "a", 2)
    with pytest.raises(Conflict):
        table.commit(transaction.writes, transaction.checks)


def test_a_record_read_and_written_is_not_checked_twice(table: SqliteTable) -> None:
    """DynamoDB refuses a transaction that names one item twice."""
    transaction = Transaction(table)
    for id in ("a", "b"):
        transaction.read("thing", id, int)
    transaction.put("thing", "a", 1)
    transaction.put("thing", "a", 2)
    assert [(w.id, w.body) for w in transaction.writes] == [("a", b"2")]
    assert [c.id for c in transaction.checks] == ["b"]
