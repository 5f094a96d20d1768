"""What a resting lab costs is booked hour by hour, once, on the month's budget, and asks for no run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import Unavailable
from lab.market import Rented
from lab.money import Budget, Entry
from lab.settings import parse
from orchestrator.main import _waited
from orchestrator.meter import Tab
from orchestrator.rest import Rest
from orchestrator.upkeep import Upkeep
from support.clips import add_clip
from support.house import House
from support.market import FIXED, Listed

TEXT = "[designers]\nevolution = 0.0\n[limits]\nminutes = 10\n[budget]\nmonthly_usd = 7\n"
MONTH = "2026-11"
KEPT = Rented(id="i-1", usd_h=0.1, bound_usd_h=0.17, aside_usd_h=0.01)


@pytest.fixture
def market() -> Listed:
    return Listed()


@pytest.fixture
def house(tmp_path: Path, market: Listed) -> House:
    """At rest, its run has just ended."""
    house = House(tmp_path, parse(TEXT), market)
    house.backend.ledger.office.push_settings(TEXT, op_id="push")
    daemon = house.daemon()
    house.lives(daemon, minutes=15)
    assert daemon.left
    return house


def rests(house: House, upkeep: Upkeep, minutes: float) -> None:
    rest, until = Rest(house.backend.ledger), house.clock.now + 60 * minutes
    while house.clock.now < until:
        house.clock.now += 5.0
        assert rest.lasts(house.clock.now)
        assert rest.left is not None
        upkeep.look(rest.left)


def upkeep(house: House, market: Listed, tab: Tab | None = None) -> Upkeep:
    return Upkeep(house.backend.ledger, house.clock, market, tab or Tab())


def booked(house: House) -> dict[str, Entry]:
    return {one.key: one for one in house.backend.ledger.accounts.entries() if one.key.startswith("rest")}


def month(house: House) -> Budget:
    found = house.backend.ledger.accounts.balance(MONTH)
    assert found is not None
    assert found.cap == found.free + found.reserved + found.spent
    return found


def test_each_hour_of_a_rest_is_booked_when_it_is_over_and_the_part_of_the_last_one_at_its_end(
        house: House, market: Listed) -> None:
    before, one = month(house).spent, upkeep(house, market)
    rests(house, one, minutes=59)
    assert booked(house) == {}
    rests(house, one, minutes=91)
    one.end()
    found = booked(house)
    assert list(found) == ["rest.1.1", "rest.1.2", "rest.1.3"]
    assert [entry.amount for entry in found.values()] == [
        pytest.approx(1e6 * FIXED * hours, rel=0.01) for hours in (1, 1, 0.5)]
    assert {(entry.what, entry.budgets) for entry in found.values()} == {("overhead", (MONTH,))}
    assert month(house).spent - before == sum(entry.amount for entry in found.values())


def test_a_machine_that_is_kept_is_paid_for_as_long_as_it_runs(house: House, market: Listed) -> None:
    one = upkeep(house, market)
    rests(house, one, minutes=10)
    market.rented = (KEPT,)
    rests(house, one, minutes=30)
    market.rented = ()
    rests(house, one, minutes=25)
    assert booked(house)["rest.1.1"].amount == pytest.approx(1e6 * (FIXED + 0.11 / 2), rel=0.01)


def test_what_is_asked_of_the_account_meanwhile_is_paid_with_the_hour(house: House, market: Listed) -> None:
    market.requests_usd_so_far = 0.02  # while it started
    one = upkeep(house, market)
    rests(house, one, minutes=30)
    market.requests_usd_so_far += 0.01
    rests(house, one, minutes=60)
    one.end()
    assert [entry.amount for entry in booked(house).values()] == [
        pytest.approx(1e6 * cost, rel=0.01) for cost in (FIXED + 0.02 + 0.01, FIXED / 2)]


def test_what_a_process_asks_between_its_last_look_and_the_next_that_books_is_paid_by_that_one(
        house: House, market: Listed) -> None:
    tab, accounts = Tab(), house.backend.ledger.accounts
    one, market.requests_usd_so_far = upkeep(house, market, tab), 0.04
    rests(house, one, minutes=30)
    market.requests_usd_so_far += 0.03
    one.end()
    assert booked(house)["rest.1.1"].amount == pytest.approx(1e6 * (FIXED / 2 + 0.04), rel=0.01)
    daemon = house.daemon(tab=tab)
    market.requests_usd_so_far += 0.01  # all that it has to know
    house.lives(daemon, minutes=15)
    assert daemon.left
    [hour] = [entry for entry in accounts.entries() if entry.key == "overhead.2.1"]
    assert hour.amount == pytest.approx(1e6 * (FIXED / 6 + 0.04), rel=0.01)
    market.requests_usd_so_far += 0.02
    one = upkeep(house, market, tab)
    rests(house, one, minutes=30)
    one.end()
    assert booked(house)["rest.2.1"].amount == pytest.approx(1e6 * (FIXED / 2 + 0.02), rel=0.02)


def test_two_processes_and_one_that_was_started_afresh_pay_an_hour_once(house: House, market: Listed) -> None:
    first, second = upkeep(house, market), upkeep(house, market)
    rest = Rest(house.backend.ledger)
    assert rest.lasts(house.clock.now)
    for nth in range(800):
        house.clock.now += 5.0
        assert rest.left is not None
        if nth < 400:
            first.look(rest.left)
        second.look(rest.left)
    upkeep(house, market).look(rest.left)
    first.end()
    second.end()
    assert [round(entry.used_s / 100) for entry in booked(house).values()] == [36, 4]
    assert month(house).spent == sum(entry.amount for entry in house.backend.ledger.accounts.entries())


def test_what_a_process_that_ended_saw_of_an_hour_is_paid_by_the_next_one(house: House, market: Listed) -> None:
    rests(house, upkeep(house, market), minutes=40)
    rests(house, upkeep(house, market), minutes=30)
    assert booked(house)["rest.1.1"].amount == pytest.approx(1e6 * FIXED, rel=0.01)


def test_what_is_booked_asks_for_no_run_and_a_spent_budget_does_not_refuse_it(house: House, market: Listed) -> None:
    house.backend.ledger.accounts.set_cap(MONTH, 1, op_id="cap")
    rests(house, upkeep(house, market), minutes=125)
    assert len(booked(house)) == 2
    assert month(house).free < -30_000


def test_no_hour_is_paid_twice_where_a_daemon_has_come(house: House, market: Listed) -> None:
    one = upkeep(house, market)
    rests(house, one, minutes=30)
    house.lives(house.daemon(), minutes=1)
    one.end()
    assert booked(house) == {}


def test_the_budget_of_a_month_that_began_just_before_the_daemon_left_is_opened(
        house: House, market: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    one = upkeep(house, market)
    rests(house, one, minutes=30)
    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.upkeep.month_key", lambda wall: "2026-12")
        one.end()
    opened = house.backend.ledger.accounts.balance("2026-12")
    assert opened is not None
    assert (opened.cap, opened.spent) == (7_000_000, booked(house)["rest.1.1"].amount)


def test_the_part_of_an_hour_is_booked_before_another_daemon_begins_however_often_the_ledger_is_away(
        house: House, market: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.main.time.time", house.clock.wall)
    monkeypatch.setattr("orchestrator.main.REST_S", 0.0)
    one, failures, balance = upkeep(house, market), [1, 2], type(house.backend.ledger.accounts).balance
    rests(house, one, minutes=30)

    def away(accounts: object, id: str) -> Budget | None:
        if failures:
            failures.pop()
            raise Unavailable("away")
        return balance(house.backend.ledger.accounts, id)
    house.backend.ledger.office.set_control(paused=False, op_id="resume")
    add_clip(house.backend.store)
    with monkeypatch.context() as patched:
        patched.setattr(type(house.backend.ledger.accounts), "balance", away)
        assert _waited(Rest(house.backend.ledger), house.backend.store, one, [], None)
    assert booked(house)["rest.1.1"].used_s == pytest.approx(1800, abs=30)
