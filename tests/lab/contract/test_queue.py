"""Hints: delivered at least once, invisible while someone has them, gone when done, back at once when given back.

No order and no exact count: SQS promises neither, and its receipts are judged less strictly than those of one machine
(`tests/lab/local/test_queue.py` holds what is promised there alone).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from lab.aws.clients import listening_sqs, sqs
from lab.aws.queue import SqsQueue
from lab.backend import Message, Queue
from lab.local.queue import SqliteQueue
from lab.local.table import SqliteTable
from support.account import Account

LONG_S = 600.0  # nothing comes back by itself during a test


class Place(NamedTuple):
    """Two queues, and a way to let time pass for them."""

    cpu: Queue
    gpu: Queue
    passes: Callable[[float], None]


def _local(database: SqliteTable) -> Place:
    now = [1_800_000_000.0]

    def passes(seconds: float) -> None:
        now[0] += seconds
    return Place(SqliteQueue(database, "cpu", lambda: now[0]), SqliteQueue(database, "gpu", lambda: now[0]), passes)


def _sqs(account: Account) -> Place:
    names, where = account.deploy(), account.endpoint.settings
    cpu, gpu = (SqsQueue(sqs(**where), listening_sqs(**where), names.queue(one)) for one in ("cpu", "gpu"))
    return Place(cpu, gpu, time.sleep)


@pytest.fixture(params=["sqlite", pytest.param("sqs", marks=pytest.mark.ci)])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "sqlite":
        return _local(request.getfixturevalue("database"))
    return _sqs(request.getfixturevalue("account"))


@pytest.fixture
def queue(place: Place) -> Queue:
    return place.cpu


def received(queue: Queue, invisible_s: float = LONG_S) -> Message:
    message = queue.receive(invisible_s)
    assert message is not None
    return message


def test_what_is_sent_is_received(queue: Queue) -> None:
    for body in ("e1", "e2", "e3"):
        queue.send(body)
    assert sorted(received(queue).body for _ in range(3)) == ["e1", "e2", "e3"]
    assert queue.receive(LONG_S) is None


def test_an_empty_queue_gives_none(queue: Queue) -> None:
    assert queue.receive(LONG_S) is None
    assert queue.receive(LONG_S, wait_s=1.0) is None
    assert queue.waiting() == 0


def test_who_waits_is_given_what_is_there(queue: Queue) -> None:
    queue.send("e1")
    message = queue.receive(LONG_S, wait_s=20.0)
    assert message is not None
    assert message.body == "e1"


def test_a_message_in_hand_is_invisible_until_its_time_is_up(place: Place) -> None:
    place.cpu.send("e1")
    first = received(place.cpu)
    assert place.cpu.receive(LONG_S) is None
    assert (place.cpu.waiting(), place.cpu.visible()) == (1, 0)
    place.cpu.send("e2")
    assert (place.cpu.waiting(), place.cpu.visible()) == (2, 1)
    place.cpu.done(received(place.cpu))
    place.cpu.extend(first, 1)
    place.passes(1.5)
    again = received(place.cpu)
    assert (again.id, again.body, first.received, again.received) == (first.id, "e1", 1, 2)
    assert again.receipt != first.receipt


def test_extending_keeps_it_invisible(place: Place) -> None:
    place.cpu.send("e1")
    place.cpu.extend(received(place.cpu, 2), LONG_S)
    place.passes(2.5)
    assert place.cpu.receive(LONG_S) is None


def test_no_lease_is_too_long_to_ask_for(queue: Queue) -> None:
    """SQS takes 12 hours at most; the lease in the ledger may be longer."""
    queue.send("e1")
    message = received(queue, 7 * 86400.0)
    queue.extend(message, 7 * 86400.0)
    assert queue.receive(LONG_S) is None


def test_what_is_done_is_gone(place: Place) -> None:
    place.cpu.send("e1")
    place.cpu.done(received(place.cpu, 1))
    place.passes(1.5)
    assert (place.cpu.receive(LONG_S), place.cpu.waiting()) == (None, 0)


def test_a_stale_receipt_raises_nothing_and_hides_nothing_for_ever(place: Place) -> None:
    """Whoever was too slow must not take the message from the one who has it now."""
    place.cpu.send("e1")
    slow = received(place.cpu, 1)
    place.passes(1.5)
    current = received(place.cpu, 1)
    place.cpu.extend(slow, LONG_S)
    place.passes(1.5)
    assert received(place.cpu).id == current.id
    place.cpu.done(slow)


def test_done_twice_is_harmless(queue: Queue) -> None:
    queue.send("e1")
    message = received(queue)
    queue.done(message)
    queue.done(message)
    queue.extend(message, LONG_S)
    queue.send("e2")
    assert received(queue).body == "e2"


def test_what_is_given_back_is_there_at_once_and_as_good_as_new(queue: Queue) -> None:
    queue.send("e1")
    message = received(queue)
    queue.give_back(message)
    fresh = received(queue)
    assert (fresh.body, fresh.received, queue.waiting()) == ("e1", 1, 1)
    assert fresh.id != message.id


def test_job_classes_are_apart(place: Place) -> None:
    place.cpu.send("e1")
    assert (place.gpu.receive(LONG_S), place.gpu.waiting()) == (None, 0)
    assert received(place.cpu).body == "e1"
