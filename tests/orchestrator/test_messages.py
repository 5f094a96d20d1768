"""A message each for what is paid: none twice while the first is there, and another where one is lost."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from lab.backend import Message
from lab.settings import parse
from orchestrator.messages import RESEND_S
from support.house import House

SETTINGS = parse("[designers]\nevolution = 0.0\n[limits]\nworkers = 2\n[report]\nhourly = false\n")
LEASE_S = 600.0
IN_FLIGHT = 3  # one for each worker, and one that waits


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, SETTINGS)


def waiting(house: House) -> int:
    return house.backend.queues["cpu"].waiting()


def taken(house: House) -> Message:
    message = house.backend.queues["cpu"].receive(LEASE_S)
    assert message is not None
    return message


def test_a_message_that_nobody_receives_is_not_sent_twice(house: House) -> None:
    house.lives(house.daemon(), minutes=10)
    assert waiting(house) == IN_FLIGHT


def test_nor_does_the_next_daemon_send_it(house: House) -> None:
    house.lives(house.daemon(), minutes=1)
    house.lives(house.daemon(), minutes=10)
    assert waiting(house) == IN_FLIGHT


def test_what_a_receiver_went_down_with_has_one_more_and_not_one_each_half_minute(house: House) -> None:
    """So that one of the two is received often enough to be put aside."""
    daemon = house.daemon()
    house.lives(daemon, minutes=1)
    taken(house)
    house.lives(daemon, minutes=5)
    assert (waiting(house), house.backend.queues["cpu"].visible()) == (IN_FLIGHT + 1, IN_FLIGHT)


def test_what_a_clock_that_was_set_back_hides_is_sent_again(house: House) -> None:
    daemon, queue = house.daemon(), house.backend.queues["cpu"]
    house.lives(daemon, minutes=1)
    for _ in range(IN_FLIGHT):
        queue.extend(taken(house), 86_400.0)
    house.lives(daemon, minutes=5)
    assert queue.visible() == IN_FLIGHT


def test_messages_that_are_lost_are_sent_again_and_no_more_than_those(house: House) -> None:
    daemon, queue = house.daemon(), house.backend.queues["cpu"]
    house.lives(daemon, minutes=1)
    lost = [taken(house) for _ in range(IN_FLIGHT - 1)]
    for message in lost:
        queue.done(message)
    house.lives(daemon, minutes=5)
    assert waiting(house) == IN_FLIGHT


def test_whichever_is_lost_comes_once_the_others_are_received_twice(house: House) -> None:
    daemon, queue = house.daemon(), house.backend.queues["cpu"]
    house.lives(daemon, minutes=1)
    *_, lost = [taken(house) for _ in range(IN_FLIGHT)]
    queue.done(lost)
    again = list[str]()
    for _ in range(2 * IN_FLIGHT):
        house.lives(daemon, minutes=RESEND_S / 60)
        message = queue.receive(LEASE_S)
        if message is not None:
            again.append(message.body)
            queue.done(message)
    assert lost.body in again


def test_the_queue_is_asked_seldom(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each asking is paid for on an account."""
    daemon, queue, asked = house.daemon(), house.backend.queues["cpu"], list[float]()
    count = queue.visible

    def counted() -> int:
        asked.append(house.clock.now)
        return count()
    monkeypatch.setattr(queue, "visible", counted)
    house.lives(daemon, minutes=5)
    assert len(asked) > 1
    assert min(later - before for before, later in pairwise(asked)) >= RESEND_S
