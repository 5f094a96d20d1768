"""The hours of the house are booked whether or not they are free: no cap refuses what is spent already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.control import Beat
from lab.errors import Unavailable
from lab.market import Rented
from lab.money import Budget, Entry
from lab.settings import parse
from orchestrator.daemon import Daemon
from support.house import House
from support.laboratory import CRASH
from support.market import FIXED, Listed

TEXT = ("[budget]\nmonthly_usd = 50\n[designers]\nevolution = 0.0\n[limits]\nlease_s = 60\nbeat_s = 5\ngrace_s = 15\n"
        "[prices]\noverhead_usd_h = 0.02\n")
SETTINGS = parse(TEXT)
MONTH, DEAD_S = "2026-11", 75.0
KEPT = Rented(id="i-9", usd_h=0.1, bound_usd_h=0.17, aside_usd_h=0.01)


class Attempt:
    """One that runs, and a cap that leaves nothing beside what is reserved for it and for the hour that is paid."""

    def __init__(self, house: House, daemon: Daemon) -> None:
        self.house, self.ledger, self.beats = house, house.backend.ledger, 0
        house.lives(daemon, minutes=0)
        message = house.backend.queues["cpu"].receive(600.0)
        assert message is not None
        self.id = message.body
        self.fence = self.ledger.claim(self.id, worker="w", device_class="cpu", op_id="claim")
        self.ledger.office.set_control(override_until=house.clock.now + 24 * 3600.0, op_id="on to the cap itself")
        house.lives(daemon, minutes=0)
        self.leave_free(0)

    def leave_free(self, microusd: int) -> None:
        """By a word of a person's about the cap."""
        now = balance(self.house)
        self.ledger.accounts.set_cap(MONTH, now.reserved + now.spent + microusd,
                                     op_id=f"cap{self.ledger.last_change()}")

    def goes_on(self, daemon: Daemon, minutes: float) -> None:
        until = self.house.clock.now + 60 * minutes
        while self.house.clock.now < until:
            self.beats += 1
            self.ledger.beat(self.id, Beat(fence=self.fence, n=self.beats))
            self.house.lives(daemon, minutes=0.5)

    def ends(self) -> None:
        self.ledger.finish(self.id, self.fence, CRASH, used_s=60.0, phases={}, op_id="finish")


@pytest.fixture(params=["rented", "own"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    """On an account and on one machine, at the same price."""
    return House(tmp_path, SETTINGS, Listed() if request.param == "rented" else None)


def balance(house: House) -> Budget:
    found = house.backend.ledger.accounts.balance(MONTH)
    assert found is not None
    assert found.cap == found.free + found.reserved + found.spent
    return found


def hours(house: House) -> dict[str, Entry]:
    return {one.key: one for one in house.backend.ledger.accounts.entries() if one.what == "overhead"}


def hours_h(house: House) -> dict[str, Any]:
    """How many of them each entry has paid for, by its money."""
    return {key: pytest.approx(entry.amount / 1e6 / FIXED, abs=0.01) for key, entry in hours(house).items()}


def test_hours_that_are_not_free_are_booked_when_they_are_over(house: House) -> None:
    daemon = house.daemon()
    attempt = Attempt(house, daemon)
    attempt.goes_on(daemon, minutes=181)
    assert daemon.stage == "explore", "what runs is paid for"
    assert hours_h(house) == {"overhead.1.1": 1, "overhead.1.2": 1, "overhead.1.3": 1}
    assert balance(house).free == -sum(entry.amount for entry in list(hours(house).values())[1:])


def test_such_an_hour_ends_as_soon_as_one_is_free_beside_what_it_has_used(house: House) -> None:
    daemon = house.daemon()
    attempt = Attempt(house, daemon)
    attempt.goes_on(daemon, minutes=60 + 30)
    attempt.leave_free(int(1e6 * FIXED * 1.4))
    attempt.goes_on(daemon, minutes=5)
    assert list(hours(house)) == ["overhead.1.1"]
    attempt.leave_free(int(1e6 * FIXED * 1.7))
    attempt.goes_on(daemon, minutes=65)
    assert hours_h(house) == {"overhead.1.1": 1, "overhead.1.2": pytest.approx(35 / 60, abs=0.01), "overhead.1.3": 1}
    assert balance(house).free > -1e6 * FIXED


def test_the_run_ends_when_nothing_runs_that_could_free_money_and_all_its_hours_are_booked(house: House) -> None:
    daemon = house.daemon()
    attempt = Attempt(house, daemon)
    attempt.goes_on(daemon, minutes=90)
    attempt.ends()
    attempt.leave_free(-int(1e6))
    house.lives(daemon, minutes=5)
    assert (daemon.left, daemon.why) == (True, "the budget is spent: no reservation fits")
    assert sum(entry.used_s for entry in hours(house).values()) == pytest.approx(91 * 60, abs=10), \
        "the last report is waited for"
    assert list(house.backend.ledger.accounts.open_reservations()) == []


def test_a_daemon_that_dies_in_such_an_hour_is_paid_up_to_its_last_sign_and_a_lease_once(house: House) -> None:
    daemon = house.daemon()
    attempt = Attempt(house, daemon)
    attempt.goes_on(daemon, minutes=60 + 30)
    house.clock.now += DEAD_S
    for _ in range(2):  # the second after the first was killed as well
        attempt.goes_on(house.daemon(), minutes=10)
    lived = 30 / 60 + DEAD_S / 3600
    assert hours_h(house) == {"overhead.1.1": 1, "overhead.1.2": pytest.approx(lived, abs=0.01),
                              "overhead.2.1": pytest.approx(10 / 60 + DEAD_S / 3600, abs=0.01)}


def test_a_daemon_that_hands_over_in_such_an_hour_leaves_nothing_of_it_to_be_paid(house: House) -> None:
    daemon = house.daemon()
    attempt = Attempt(house, daemon)
    attempt.goes_on(daemon, minutes=60 + 30)
    daemon.hand_over()
    daemon.step()
    assert daemon.handed_over
    assert hours_h(house) == {"overhead.1.1": 1, "overhead.1.2": 0.5}


def test_such_an_hour_whose_reply_was_lost_is_booked_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = house.backend.ledger.accounts
    lost = {"reserve_overhead": 2, "settle": 2}

    def losing(name: str, call: Any) -> Any:
        def lose_the_reply(key: str, *given: Any, **named: Any) -> Any:
            answer = call(key, *given, **named)
            if key == "overhead.1.2" and lost[name]:
                lost[name] -= 1
                raise Unavailable("the reply was lost")
            return answer
        return lose_the_reply
    for name in lost:
        monkeypatch.setattr(accounts, name, losing(name, getattr(accounts, name)))
    daemon = house.daemon()
    attempt = Attempt(house, daemon)
    attempt.goes_on(daemon, minutes=182)
    assert set(lost.values()) == {0}
    assert hours_h(house) == {"overhead.1.1": 1, "overhead.1.2": 1, "overhead.1.3": 1}


def test_machines_that_come_in_such_an_hour_are_paid_in_full(tmp_path: Path) -> None:
    """Though they may cost more than it was to bear."""
    market = Listed()
    house = House(tmp_path, SETTINGS, market)
    daemon = house.daemon()
    attempt = Attempt(house, daemon)
    attempt.goes_on(daemon, minutes=60 + 30)
    market.rented = (KEPT,)
    attempt.goes_on(daemon, minutes=61)
    found = [entry.amount / 1e6 for entry in hours(house).values()]
    assert found == [pytest.approx(usd, rel=0.02) for usd in (FIXED, FIXED / 2, FIXED + KEPT.usd_h + KEPT.aside_usd_h)]


def test_a_run_ends_where_nothing_runs_and_an_hour_is_not_free_though_an_attempt_would_be(tmp_path: Path) -> None:
    house = House(tmp_path, parse(f"{TEXT}cpu_usd_h = 0.000001\n"))
    daemon = house.daemon()
    attempt = Attempt(house, daemon)
    attempt.goes_on(daemon, minutes=90)
    attempt.ends()
    attempt.leave_free(int(1e6 * FIXED))
    house.lives(daemon, minutes=5)
    assert (daemon.left, daemon.why) == (True, "the budget is spent: no reservation fits")


def test_an_hour_whose_settlement_was_not_heard_of_is_over_all_the_same(
        house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it settled makes less free: by the same look it would go on, and its later minutes be in no entry."""
    daemon = house.daemon()
    attempt = Attempt(house, daemon)
    attempt.goes_on(daemon, minutes=60 + 30)
    settle, lost = house.backend.ledger.accounts.settle, list[str]()

    def unheard(key: str, *args: Any, **more: Any) -> Any:
        done = settle(key, *args, **more)
        if not lost:
            lost.append(key)
            raise Unavailable("the reply was lost")
        return done
    monkeypatch.setattr(house.backend.ledger.accounts, "settle", unheard)
    attempt.leave_free(int(1e6 * FIXED * 1.7))
    attempt.goes_on(daemon, minutes=61)
    assert lost == ["overhead.1.2"]
    assert hours_h(house) == {"overhead.1.1": 1, "overhead.1.2": pytest.approx(0.5, abs=0.02), "overhead.1.3": 1}
