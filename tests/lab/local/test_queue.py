"""What the queue of one machine promises beyond the contract: order, strict receipts, and a clock that may jump."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.backend import Message
from lab.local.queue import SqliteQueue
from lab.local.table import SqliteTable


class Wall:
    """A clock on the wall that the test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def database(tmp_path: Path) -> SqliteTable:
    return SqliteTable(tmp_path / "ledger.db")


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def queue(database: SqliteTable, wall: Wall) -> SqliteQueue:
    return SqliteQueue(database, "cpu", wall)


def received(queue: SqliteQueue) -> Message:
    message = queue.receive(60)
    assert message is not None
    return message


def test_what_is_sent_is_received_in_order(queue: SqliteQueue) -> None:
    for body in ("e1", "e2", "e3"):
        queue.send(body)
    assert [received(queue).body for _ in range(3)] == ["e1", "e2", "e3"]


def test_a_message_comes_back_when_its_time_is_up_and_no_sooner(queue: SqliteQueue, wall: Wall) -> None:
    queue.send("e1")
    received(queue)
    wall.now += 59
    assert queue.receive(60) is None
    wall.now += 1
    assert received(queue).body == "e1"


def test_a_stale_receipt_does_nothing(queue: SqliteQueue, wall: Wall) -> None:
    queue.send("e1")
    slow = received(queue)
    wall.now += 60
    current = received(queue)
    queue.done(slow)
    queue.extend(slow, 10_000)
    assert queue.waiting() == 1
    wall.now += 60
    assert received(queue).id == current.id


def test_a_clock_that_jumps_back_delays_a_hint_and_loses_none(queue: SqliteQueue, wall: Wall) -> None:
    queue.send("e1")
    wall.now -= 3600
    assert (queue.receive(60), queue.waiting()) == (None, 1)
    wall.now += 3600
    assert received(queue).body == "e1"


def test_hints_outlive_the_process(queue: SqliteQueue, database: SqliteTable, wall: Wall) -> None:
    queue.send("e1")
    database.close()
    assert received(SqliteQueue(SqliteTable(database.path), "cpu", wall)).body == "e1"
