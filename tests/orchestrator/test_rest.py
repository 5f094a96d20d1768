"""A lab whose run has ended rests, also for a process that was started afresh, until something asks for another run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM

import pytest

from lab.control import Guarded, Idea, Report
from lab.settings import parse
from orchestrator.daemon import Daemon
from orchestrator.rest import PAGE, Rest
from support.house import House

SETTINGS = parse("[designers]\nevolution = 0.0\n[limits]\nminutes = 10\n")
DAY_S = 86_400.0


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, SETTINGS)


def rests(house: House) -> bool:
    return Rest(house.backend.ledger).lasts(house.clock.now)


def ended(house: House) -> None:
    """A run to its end."""
    daemon = house.daemon()
    house.lives(daemon, minutes=15)
    assert daemon.left


def test_a_lab_that_never_ran_or_that_runs_does_not_rest(house: House) -> None:
    assert not rests(house)
    house.lives(house.daemon(), minutes=1)
    assert not rests(house)


def test_after_the_end_of_its_run_it_rests_whatever_is_written_that_is_no_persons_word(house: House) -> None:
    ended(house)
    office = house.backend.ledger.office
    for nth in range(PAGE + 5):
        office.post_report(Report(key=f"k{nth:02d}", subject="s", text="t"), op_id=f"post{nth}")
    office.guard(Guarded(n=1, level="critical", closed=True), "the budget is at 95 %", None,
                 op_id="guard.1")
    assert rests(house)


@pytest.mark.parametrize("word", [
    lambda h: h.backend.ledger.office.set_control(paused=False, op_id="resume"),
    lambda h: h.backend.ledger.office.push_settings("[limits]\nminutes = 5\n", op_id="push"),
    lambda h: h.backend.ledger.office.add_idea(Idea(key="i", family="line", params={}), op_id="idea"),
    lambda h: h.backend.ledger.accounts.set_cap("2026-11", 900_000_000, op_id="cap")])
def test_a_persons_word_ends_the_rest(house: House, word: Callable[[House], object]) -> None:
    ended(house)
    rest = Rest(house.backend.ledger)
    assert rest.lasts(house.clock.now)
    word(house)
    assert not rest.lasts(house.clock.now)


def stop(house: House) -> None:
    house.backend.ledger.office.set_control(stop="drain", op_id=f"stop{house.backend.ledger.last_change()}")


def pause(house: House, paused: bool = True) -> None:
    house.backend.ledger.office.set_control(paused=paused, op_id=f"pause{house.backend.ledger.last_change()}")


def override(house: House, hours: float) -> None:
    until = house.clock.now + 3600 * hours if hours else 0.0
    house.backend.ledger.office.set_control(override_until=until, op_id=f"over{house.backend.ledger.last_change()}")


def cap(house: House, usd: float) -> None:
    house.backend.ledger.accounts.set_cap("2026-11", int(usd * 1e6), op_id=f"cap{house.backend.ledger.last_change()}")


def idea(house: House) -> None:
    house.backend.ledger.office.add_idea(Idea(key="i", family="line", params={}), op_id="idea")


@pytest.mark.parametrize("words", [
    [stop], [pause], [lambda h: cap(h, 0)], [lambda h: cap(h, 1)], [lambda h: override(h, 0)],
    [lambda h: override(h, 6), lambda h: override(h, 0)],
    [lambda h: cap(h, 1000), lambda h: cap(h, 0)],
    [idea, stop], [idea, pause]],
    ids=["stop", "pause", "no budget", "a smaller budget", "an override taken back", "an override and back",
         "a raise and back", "an idea and a stop", "an idea in a pause"])
def test_a_word_that_lets_nothing_go_on_does_not_end_it(house: House, words: list[Callable[[House], None]]) -> None:
    ended(house)
    for word in words:
        word(house)
    assert rests(house)


@pytest.mark.parametrize("words", [
    [lambda h: override(h, 6)], [stop, idea], [pause, lambda h: pause(h, False)],
    [idea, lambda h: cap(h, 1)], [lambda h: cap(h, 1000), lambda h: cap(h, 900)]],
    ids=["override", "a stop and an idea", "a pause and back", "an idea for less money", "more money"])
def test_a_word_that_does_ends_it_whatever_else_is_said(house: House, words: list[Callable[[House], None]]) -> None:
    ended(house)
    for word in words:
        word(house)
    assert not rests(house)


def test_more_money_that_is_spent_already_does_not_end_it(house: House) -> None:
    ended(house)
    cap(house, 0)
    budget = house.backend.ledger.accounts.balance("2026-11")
    assert budget is not None
    assert budget.free < 0
    cap(house, 0.000001)
    assert rests(house)


def draining(house: House) -> Daemon:
    """One that was told to stop, and waits for an attempt to end."""
    daemon, ledger = house.daemon(), house.backend.ledger
    house.lives(daemon, minutes=1)
    message = house.backend.queues["cpu"].receive(600.0)
    assert message is not None
    ledger.claim(message.body, worker="w", device_class="cpu", op_id="claim")
    stop(house)
    house.lives(daemon, minutes=0.5)
    assert (daemon.stage, daemon.left) == ("drain", False)
    return daemon


def push(house: House) -> None:
    house.backend.ledger.office.push_settings("[limits]\nminutes = 5\n", op_id="push")


@pytest.mark.parametrize(("words", "asks"), [
    ([], False), ([lambda h: pause(h, False)], True), ([push], True), ([lambda h: override(h, 6)], True),
    ([idea, lambda h: cap(h, 1)], True), ([stop], False), ([push, stop], False), ([lambda h: cap(h, 1)], False)],
    ids=["nothing", "resume", "settings", "override", "an idea for less money", "stop", "settings and a stop",
         "less money"])
def test_what_is_said_while_the_last_work_runs_to_its_end_is_heard(
        house: House, words: list[Callable[[House], None]], asks: bool) -> None:
    house.backend.ledger.office.push_settings("[designers]\nevolution = 0.0\n", op_id="before")  # to the run that ends
    daemon = draining(house)
    for word in words:
        word(house)
    house.lives(daemon, minutes=30)
    assert daemon.left
    assert rests(house) != asks


def test_the_lease_of_an_earlier_version_counts_from_its_leaving(house: House) -> None:
    idea(house)
    epoch = house.backend.ledger.office.take_lease("old", host="", pid=1, observed=None, op_id="take")
    push(house)
    house.backend.ledger.office.leave_lease(epoch, op_id="leave")
    assert rests(house)


def test_a_new_month_ends_it(house: House) -> None:
    ended(house)
    house.clock.now += DAY_S
    assert not rests(house)  # 1 December


def test_a_signal_to_a_process_that_ended_its_run_is_no_word_that_the_lab_is_to_rest(house: House) -> None:
    daemon = house.daemon()
    house.lives(daemon, minutes=1)
    daemon.stop_now(SIGTERM)
    house.lives(daemon, minutes=5)
    assert daemon.left
    assert not rests(house)
