"""A lab whose run has ended rests, also for a process that was started afresh, until something asks for another run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM

import pytest

from lab.control import Guarded, Idea, Report
from lab.settings import parse
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
    lambda h: h.backend.ledger.accounts.set_cap("2026-11", 9_000_000, op_id="cap")])
def test_a_persons_word_ends_the_rest(house: House, word: Callable[[House], object]) -> None:
    ended(house)
    rest = Rest(house.backend.ledger)
    assert rest.lasts(house.clock.now)
    word(house)
    assert not rest.lasts(house.clock.now)


def test_a_new_month_ends_it(house: House) -> None:
    ended(house)
    house.clock.now += DAY_S
    assert not rests(house)  # 1 December


def test_a_daemon_whose_machine_was_to_go_has_ended_no_run(house: House) -> None:
    daemon = house.daemon()
    house.lives(daemon, minutes=1)
    daemon.stop_now(SIGTERM)
    house.lives(daemon, minutes=5)
    assert daemon.left
    assert not rests(house)
