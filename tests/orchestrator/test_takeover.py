"""What a daemon finds of those before it, dead or gone: their run goes on, their last hour is paid, and the hours
without any daemon are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.clock import hour_key
from lab.errors import Unavailable
from lab.settings import parse
from orchestrator.rest import Rest
from support.house import NOON, House

SETTINGS = parse("[designers]\nevolution = 0.0\n[limits]\nminutes = 60\nlease_s = 60\nbeat_s = 5\ngrace_s = 15\n")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, SETTINGS)


def test_the_minutes_of_a_run_go_on_under_the_daemon_that_takes_over(house: House) -> None:
    house.lives(house.daemon(), minutes=40)
    house.clock.now += 3600  # nobody lives
    heir = house.daemon()
    house.lives(heir, minutes=19)
    assert heir.stage != "drain"
    house.lives(heir, minutes=2)
    assert heir.why == "60 minutes are over"


def test_a_third_goes_on_though_the_second_died_before_its_first_sign(house: House) -> None:
    house.lives(house.daemon(), minutes=59)
    house.daemon().step()  # takes the lease, and is gone
    heir = house.daemon()
    house.lives(heir, minutes=2)
    assert heir.why == "60 minutes are over"


def test_a_run_that_a_person_begins_has_all_its_minutes_whatever_became_of_the_last(house: House) -> None:
    house.lives(house.daemon(), minutes=59)
    house.backend.ledger.office.close_run(op_id="aether run")
    heir = house.daemon()
    house.lives(heir, minutes=40)
    assert heir.why == ""


def test_a_daemon_that_was_killed_has_paid_for_what_it_lived_and_a_lease(house: House) -> None:
    house.lives(house.daemon(), minutes=10)
    house.lives(house.daemon(), minutes=1)
    assert house.overheads() == {"overhead.1.1": pytest.approx(600 + 60 + 15, abs=6)}


def test_an_hour_whose_reply_was_lost_is_paid_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts, lost = house.backend.ledger.accounts, iter([True])
    reserve = accounts.reserve_overhead

    def lose_the_reply(*given: Any, **named: Any) -> bool:
        taken = reserve(*given, **named)
        if next(lost, False):
            raise Unavailable("the reply was lost")
        return taken
    monkeypatch.setattr(accounts, "reserve_overhead", lose_the_reply)
    daemon = house.daemon()
    house.lives(daemon, minutes=59)
    assert house.overheads() == {}, "the hour is not over"
    house.lives(daemon, minutes=2)
    assert house.overheads()["overhead.1.1"] == pytest.approx(3600, abs=10)


def test_hours_without_a_daemon_are_reported_by_the_next(house: House) -> None:
    house.lives(house.daemon(), minutes=30)
    house.clock.now += 3 * 3600
    house.lives(house.daemon(), minutes=1)
    assert house.reporter.asked == {
        "2026-11-30T12": "hourly; no daemon ran from 2026-11-30 12:30 UTC to 2026-11-30 15:30 UTC"}


def test_a_pause_within_one_hour_is_no_report_of_its_own(house: House) -> None:
    house.lives(house.daemon(), minutes=10)
    house.clock.now += 600
    house.lives(house.daemon(), minutes=1)
    assert house.reporter.asked == {}


def test_a_lab_that_was_left_in_order_has_no_hours_to_report(house: House) -> None:
    first = house.daemon()
    house.lives(first, minutes=1)
    house.backend.ledger.office.leave_lease(first.epoch, op_id="leave")
    house.clock.now += 5 * 3600
    house.lives(house.daemon(), minutes=1)
    assert hour_key(NOON) not in house.reporter.asked


def running(house: House) -> str:
    """An experiment that a worker has claimed; nobody ends it."""
    message = house.backend.queues["cpu"].receive(3600.0)
    assert message is not None
    house.backend.ledger.claim(message.body, worker="w", device_class="cpu", op_id="claim")
    return message.body


def test_a_daemon_that_hands_over_leaves_run_and_work_to_the_next_and_pays_up_to_the_moment(house: House) -> None:
    first, ledger = house.daemon(), house.backend.ledger
    house.lives(first, minutes=40)
    id = running(house)
    house.lives(first, minutes=0.5)
    first.hand_over()
    assert not first.over
    first.step()
    assert (first.left, first.handed_over, first.lost) == (True, True, "")
    assert house.overheads() == {"overhead.1.1": pytest.approx(40.5 * 60, abs=6)}
    lease = ledger.office.lease()
    assert lease is not None
    assert (lease.holder, lease.goes_on, lease.run) == ("", True, 1)
    assert not Rest(ledger).lasts(house.clock.now)
    heir = house.daemon(proof=False)
    house.lives(heir, minutes=0.5)
    assert (heir.epoch, heir.stage) == (2, "explore")
    assert [attempt.ending for attempt in ledger.experiment(id).attempts] == [None], "the worker goes on"
    assert ledger.office.control().stop == ""
    assert house.reporter.asked == {}, "the run has not ended"


def test_a_daemon_that_heard_no_reply_when_it_handed_over_writes_nothing_more(
        house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon, office, lost = house.daemon(), house.backend.ledger.office, [1, 2]
    house.lives(daemon, minutes=5)
    leave_lease = office.leave_lease

    def lose_the_reply(*given: Any, **named: Any) -> int:
        left = leave_lease(*given, **named)
        if lost:
            lost.pop()
            raise Unavailable("the reply was lost")
        return left
    monkeypatch.setattr(office, "leave_lease", lose_the_reply)
    daemon.hand_over()
    house.lives(daemon, minutes=5)
    (last,) = house.backend.ledger.changes(house.backend.ledger.last_change() - 1, 1)
    assert (daemon.handed_over, last.action) == (True, "leave_lease")


def test_the_minutes_of_a_run_that_was_handed_over_go_on(house: House) -> None:
    first = house.daemon()
    house.lives(first, minutes=40)
    first.hand_over()
    house.lives(first, minutes=1)
    house.clock.now += 3600  # nobody lives
    heir = house.daemon(proof=False)
    house.lives(heir, minutes=18)
    assert heir.stage != "drain"
    house.lives(heir, minutes=3)
    assert heir.why == "60 minutes are over"


def test_hours_after_a_handing_over_are_reported_by_the_next(house: House) -> None:
    first = house.daemon()
    house.lives(first, minutes=30)
    first.hand_over()
    first.step()
    house.clock.now += 3 * 3600
    house.lives(house.daemon(proof=False), minutes=1)
    assert list(house.reporter.asked) == [hour_key(NOON)]


def test_a_run_that_a_person_begins_is_not_the_one_that_was_handed_over(house: House) -> None:
    first = house.daemon()
    house.lives(first, minutes=59)
    first.hand_over()
    first.step()
    house.backend.ledger.office.close_run(op_id="aether run")
    heir = house.daemon(proof=False)
    house.lives(heir, minutes=40)
    assert heir.why == ""


def test_a_run_that_has_ended_is_left_in_order_also_by_a_daemon_that_was_to_hand_over(house: House) -> None:
    daemon = house.daemon()
    house.backend.ledger.office.set_control(stop="drain", op_id="stop")
    house.lives(daemon, minutes=0)
    house.backend.ledger.office.set_control(stop="drain", op_id="again")
    house.clock.now += 5
    daemon.step()
    daemon.step()
    assert daemon.stage == "done"
    daemon.hand_over()
    house.lives(daemon, minutes=5)
    assert (daemon.left, daemon.handed_over) == (True, False)
    assert Rest(house.backend.ledger).lasts(house.clock.now)


def test_a_stop_that_was_said_to_a_run_stops_it_also_under_the_next_daemon(house: House) -> None:
    first = house.daemon()
    house.lives(first, minutes=1)
    running(house)
    house.backend.ledger.office.set_control(stop="drain", op_id="stop")
    house.lives(first, minutes=0.5)
    first.hand_over()
    first.step()
    heir = house.daemon(proof=False)
    house.lives(heir, minutes=0.5)
    assert (heir.stage, heir.why) == ("drain", "a person said stop")


@pytest.mark.parametrize("handed_over", [False, True])
def test_what_is_asked_for_while_a_run_ends_begins_another_also_where_that_was_handed_over(
        handed_over: bool, house: House) -> None:
    daemon, ledger = house.daemon(), house.backend.ledger
    house.lives(daemon, minutes=1)
    id = running(house)
    ledger.office.set_control(stop="drain", op_id="stop")
    house.lives(daemon, minutes=0.5)
    assert daemon.stage == "drain"
    ledger.office.set_control(paused=False, op_id="resume")
    if handed_over:
        daemon.hand_over()
        daemon.step()
        daemon = house.daemon(proof=False)
        house.lives(daemon, minutes=0.5)
        assert daemon.stage == "drain"
    ledger.release(id, 1, "released", used_s=1, op_id="release")
    house.lives(daemon, minutes=5)
    assert daemon.left
    assert not Rest(ledger).lasts(house.clock.now)
