"""Hints: delivered at least once, invisible while someone has them, gone when done, back at once when given back."""

from __future__ import annotations

import pytest

from lab.backend import Message, Queue
from lab.local.queue import SqliteQueue
from lab.local.table import SqliteTable


class Wall:
    """A clock on the wall that the test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def queue(database: SqliteTable, wall: Wall) -> Queue:
    return SqliteQueue(database, "cpu", wall)


def received(queue: Queue, invisible_s: float = 60) -> Message:
    message = queue.receive(invisible_s)
    assert message is not None
    return message


def test_what_is_sent_is_received_in_order(queue: Queue) -> None:
    for body in ("e1", "e2", "e3"):
        queue.send(body)
    assert [received(queue).body for _ in range(3)] == ["e1", "e2", "e3"]
    assert queue.receive(60) is None


def test_an_empty_queue_gives_none(queue: Queue) -> None:
    assert queue.receive(60) is None
    assert queue.waiting() == 0


def test_a_message_in_hand_is_invisible_until_its_time_is_up(queue: Queue, wall: Wall) -> None:
    queue.send("e1")
    first = received(queue)
    wall.now += 59
    assert queue.receive(60) is None
    assert queue.waiting() == 1
    wall.now += 1
    again = received(queue)
    assert (again.id, again.body, first.received, again.received) == (first.id, "e1", 1, 2)
    assert again.receipt != first.receipt


def test_extending_keeps_it_invisible(queue: Queue, wall: Wall) -> None:
    queue.send("e1")
    message = received(queue)
    wall.now += 50
    queue.extend(message, 60)
    wall.now += 50
    assert queue.receive(60) is None


def test_what_is_done_is_gone(queue: Queue, wall: Wall) -> None:
    queue.send("e1")
    queue.done(received(queue))
    wall.now += 10_000
    assert (queue.receive(60), queue.waiting()) == (None, 0)


def test_a_stale_receipt_does_nothing(queue: Queue, wall: Wall) -> None:
    """Whoever was too slow must not take the message from the one who has it now."""
    queue.send("e1")
    slow = received(queue)
    wall.now += 60
    current = received(queue)
    queue.done(slow)
    queue.extend(slow, 10_000)
    assert queue.waiting() == 1
    wall.now += 60
    assert received(queue).id == current.id


def test_done_twice_is_harmless(queue: Queue) -> None:
    queue.send("e1")
    message = received(queue)
    queue.done(message)
    queue.done(message)
    queue.send("e2")
    assert received(queue).body == "e2"


def test_what_is_given_back_is_there_at_once_and_as_good_as_new(queue: Queue) -> None:
    queue.send("e1")
    message = received(queue)
    queue.give_back(message)
    fresh = received(queue)
    assert (fresh.body, fresh.received, queue.waiting()) == ("e1", 1, 1)
    assert fresh.id != message.id


def test_job_classes_are_apart(queue: Queue, database: SqliteTable, wall: Wall) -> None:
    gpu = SqliteQueue(database, "gpu", wall)
    queue.send("e1")
    assert (gpu.receive(60), gpu.waiting()) == (None, 0)
    assert received(queue).body == "e1"


def test_a_clock_that_jumps_back_delays_a_hint_and_loses_none(queue: Queue, wall: Wall) -> None:
    queue.send("e1")
    wall.now -= 3600
    assert (queue.receive(60), queue.waiting()) == (None, 1)
    wall.now += 3600
    assert received(queue).body == "e1"


def test_hints_outlive_the_process(queue: Queue, database: SqliteTable, wall: Wall) -> None:
    queue.send("e1")
    database.close()
    assert received(SqliteQueue(SqliteTable(database.path), "cpu", wall)).body == "e1"
