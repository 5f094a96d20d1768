"""Where machines are rented: the dearest is reserved for, the very one is paid, and what idles is the house's."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.control import Beat
from lab.experiment import Machine
from lab.market import Rented
from lab.money import Bill, Entry, Reservation, cost_of
from lab.settings import parse
from orchestrator.books import REQUESTS_USD
from orchestrator.budgeting import upper_bound_s
from orchestrator.daemon import Daemon
from support.house import House
from support.laboratory import CRASH
from support.market import BOUND, FIXED, SPOT_USD_H, Listed

SETTINGS = parse("[budget]\nmonthly_usd = 50\n[designers]\nevolution = 0.0\n[prices]\ncpu_usd_h = 0.001\n"
                 "overhead_usd_h = 0.001\n")
SPOT = Machine(id="i-1", type="c5.xlarge", zone="us-east-1a", spot=True)
IDLE = Rented(id="i-1", usd_h=SPOT_USD_H, bound_usd_h=0.17, aside_usd_h=0.01)


@pytest.fixture
def market() -> Listed:
    return Listed()


@pytest.fixture
def house(tmp_path: Path, market: Listed) -> House:
    return House(tmp_path, SETTINGS, market)


def reserved(house: House, what: str) -> list[Reservation]:
    return [one for one in house.backend.ledger.accounts.open_reservations() if one.what == what]


def entries(house: House, what: str) -> list[Entry]:
    return [one for one in house.backend.ledger.accounts.entries() if one.what == what]


def claimed(house: House, daemon: Daemon, machine: Machine | None) -> tuple[str, int]:
    """The first that waits, once the daemon has paid for it."""
    house.lives(daemon, minutes=0)
    id = next(e.id for e in daemon.view.live.values() if e.reservation)
    fence = house.backend.ledger.claim(id, worker="w", device_class="cpu2", machine=machine, op_id=f"claim.{id}")
    house.lives(daemon, minutes=0)
    return id, fence


def finish(house: House, id: str, fence: int, used_s: float) -> None:
    house.backend.ledger.finish(id, fence, CRASH, used_s=used_s, phases={}, op_id=f"finish.{id}")


def test_the_dearest_machine_is_reserved_for_and_the_very_machine_is_paid(house: House) -> None:
    daemon = house.daemon()
    id, fence = claimed(house, daemon, SPOT)
    (taken,) = (one for one in reserved(house, "attempt") if one.experiment == id)
    assert taken.price_usd_h == BOUND
    finish(house, id, fence, 100.0)
    house.lives(daemon, minutes=0)
    (paid,) = entries(house, "attempt")
    assert (paid.amount, paid.price_usd_h) == (cost_of(100.0, SPOT_USD_H), SPOT_USD_H)


@pytest.mark.parametrize("machine", [None, Machine(id="i-2", type="x9.metal", zone="us-east-1a", spot=True)])
def test_a_machine_that_nobody_knows_the_price_of_is_paid_as_the_dearest(
        house: House, machine: Machine | None) -> None:
    daemon = house.daemon()
    id, fence = claimed(house, daemon, machine)
    finish(house, id, fence, 100.0)
    house.lives(daemon, minutes=0)
    (paid,) = entries(house, "attempt")
    assert (paid.amount, paid.price_usd_h) == (cost_of(100.0, BOUND), BOUND)


def test_an_attempt_pays_the_requests_that_its_worker_has_counted(house: House, market: Listed) -> None:
    market.requests_usd_so_far = 0.0
    daemon = house.daemon()
    id, fence = claimed(house, daemon, SPOT)
    (taken,) = (one for one in reserved(house, "attempt") if one.experiment == id)
    terms = SETTINGS.limits.terms()
    spec = house.backend.ledger.experiment(id)
    assert taken.amount == cost_of(upper_bound_s(daemon.view.track, spec, terms), BOUND) + 1e6 * REQUESTS_USD
    house.backend.ledger.beat(id, Beat(fence=fence, n=1, requests={"queue": 0.001, "ledger_read": 0.002}))
    finish(house, id, fence, 100.0)
    house.lives(daemon, minutes=0)
    (paid,) = entries(house, "attempt")
    assert (paid.amount, paid.used_s) == (cost_of(100.0, SPOT_USD_H) + 3000, 100.0)


@pytest.mark.parametrize("body", [b'{"fence":1,"n":1,"requests":{"bill":1e308}}', b'{"fence":1,"n":1,"used_s":null}',
                                  b'{"fence":1,"n":1,"used_s":1e308,"requests":{"bill":null}}'])
def test_no_heartbeat_ends_a_daemon_or_those_after_it(house: House, body: bytes) -> None:
    daemon = house.daemon()
    id, fence = claimed(house, daemon, SPOT)
    house.backend.ledger.table.set("beat", f"{id}.{fence}", body)
    house.lives(daemon, minutes=1)
    finish(house, id, fence, 100.0)
    house.lives(daemon, minutes=0)
    (paid,) = entries(house, "attempt")
    assert paid.amount == cost_of(100.0, SPOT_USD_H)


def test_nothing_is_paid_above_what_was_reserved_whatever_the_market_asks(house: House, market: Listed) -> None:
    market.known["i-1"] = 1e6
    daemon = house.daemon()
    id, fence = claimed(house, daemon, SPOT)
    (taken,) = (one for one in reserved(house, "attempt") if one.experiment == id)
    finish(house, id, fence, 100.0)
    house.lives(daemon, minutes=0)
    assert [paid.amount for paid in entries(house, "attempt")] == [taken.amount]


def test_what_has_no_price_does_not_start(house: House, market: Listed) -> None:
    market.bound = None
    daemon = house.daemon()
    house.lives(daemon, minutes=1)
    assert reserved(house, "attempt") == []
    assert not daemon.over


def test_machines_without_work_are_paid_by_the_house_and_those_with_work_by_their_attempt(
        house: House, market: Listed) -> None:
    market.rented = (IDLE,)
    daemon = house.daemon()
    house.lives(daemon, minutes=30)  # nobody has claimed yet
    id, fence = claimed(house, daemon, SPOT)
    for minute in range(1, 41):
        house.backend.ledger.beat(id, Beat(fence=fence, n=minute))
        house.lives(daemon, minutes=0.5)
    finish(house, id, fence, 1200.0)
    house.lives(daemon, minutes=15)  # idle again, and the hour is over
    (hour,) = entries(house, "overhead")
    aside, idle_h = FIXED + IDLE.aside_usd_h, 40 / 60
    assert hour.amount == pytest.approx(1e6 * (aside + idle_h * SPOT_USD_H), rel=0.01)
    assert [one.price_usd_h for one in reserved(house, "overhead")] == [aside + IDLE.bound_usd_h]


def test_machines_that_come_are_reserved_for_at_once_and_those_that_go_when_the_hour_is_over(
        house: House, market: Listed) -> None:
    daemon = house.daemon()
    house.lives(daemon, minutes=6)
    assert [one.price_usd_h for one in reserved(house, "overhead")] == [FIXED]
    market.rented = (IDLE,)
    house.lives(daemon, minutes=6)
    (first,) = entries(house, "overhead")
    assert first.amount == pytest.approx(1e6 * FIXED / 10, rel=0.02)
    (held,) = reserved(house, "overhead")
    assert (held.key, held.price_usd_h) == ("overhead.1.2", pytest.approx(FIXED + 0.01 + 0.17))
    market.rented = ()
    house.lives(daemon, minutes=30)
    assert [one.key for one in reserved(house, "overhead")] == [held.key]


def test_the_hour_of_a_daemon_that_died_is_paid_by_what_it_had_run_up(house: House, market: Listed) -> None:
    market.rented = (IDLE,)
    house.lives(house.daemon(), minutes=10)
    house.lives(house.daemon(), minutes=0)
    (left,) = entries(house, "overhead")
    lease_s = SETTINGS.limits.lease_s + SETTINGS.limits.grace_s
    told, silent = FIXED + 0.01 + SPOT_USD_H, FIXED + 0.01 + IDLE.bound_usd_h
    assert left.amount == pytest.approx(1e6 * (told / 6 + silent * lease_s / 3600), rel=0.02)


def test_what_the_daemon_asks_of_the_account_is_paid_with_its_hour(house: House, market: Listed) -> None:
    market.requests_usd_so_far = 0.02  # while it started
    daemon = house.daemon()
    house.lives(daemon, minutes=30)
    (held,) = reserved(house, "overhead")
    assert held.amount == cost_of(3600, FIXED) + 1e6 * REQUESTS_USD
    market.requests_usd_so_far += 0.01
    house.lives(daemon, minutes=31)
    (hour,) = entries(house, "overhead")
    assert hour.amount == pytest.approx(1e6 * (FIXED + 0.02 + 0.01), rel=0.01)


def test_an_hour_in_which_more_is_asked_than_it_bears_ends_early(house: House, market: Listed) -> None:
    market.requests_usd_so_far = 0.0
    daemon = house.daemon()
    for _ in range(11):
        house.lives(daemon, minutes=1)
        market.requests_usd_so_far += 0.01
    house.lives(daemon, minutes=1)
    (hour,) = entries(house, "overhead")
    assert hour.amount == pytest.approx(1e6 * (FIXED / 10 + REQUESTS_USD + 0.01), rel=0.02)
    assert [one.key for one in reserved(house, "overhead")] == ["overhead.1.2"]


def test_what_a_daemon_that_died_had_asked_is_paid(house: House, market: Listed) -> None:
    market.requests_usd_so_far = 0.0
    daemon = house.daemon()
    house.lives(daemon, minutes=5)
    market.requests_usd_so_far = 0.04
    house.lives(daemon, minutes=5)
    market.requests_usd_so_far = 0.0  # of the next process
    house.lives(house.daemon(), minutes=0)
    (left,) = entries(house, "overhead")
    assert left.amount == pytest.approx(1e6 * (FIXED / 6 + 0.04), rel=0.02)


@pytest.mark.parametrize("told", [b'"overhead_microusd":null,"overhead_s":null', b'"overhead_s":"long"'])
def test_whatever_a_daemon_that_died_is_made_to_say_of_its_hour_the_next_one_lives(house: House, told: bytes) -> None:
    house.lives(house.daemon(), minutes=10)
    house.backend.ledger.table.set(
        "beat", "daemon.1", b'{"fence":1,"n":9,"progress":{"overhead":"overhead.1.1",' + told + b"}}")
    house.lives(house.daemon(), minutes=30)
    (left,) = entries(house, "overhead")
    assert left.key == "overhead.1.1"


def test_what_could_not_be_looked_at_is_said_once(
        house: House, market: Listed, capsys: pytest.CaptureFixture[str]) -> None:
    market.troubles = ("spot prices are as last seen: no network",)
    house.lives(house.daemon(), minutes=2)
    assert capsys.readouterr().out.count("spot prices are as last seen") == 1


def test_the_account_is_asked_once_a_day_what_it_billed_and_the_answer_is_kept(house: House, market: Listed) -> None:
    daemon, accounts = house.daemon(), house.backend.ledger.accounts
    house.lives(daemon, minutes=9)
    assert market.asked == [], "a daemon that keeps dying does not pay for each asking"
    house.lives(daemon, minutes=5)
    assert len(market.asked) == 1
    market.answer = Bill(first="2026-11-01", end="2026-11-29", at=market.asked[0], by_service={"Amazon EC2": 5})
    house.lives(daemon, minutes=1)
    assert accounts.bill() == Bill(first="2026-11-01", end="2026-11-29", at=market.asked[0],
                                   by_service={"Amazon EC2": 5})
    house.lives(house.daemon(), minutes=30)
    assert len(market.asked) == 1, "the ledger knows when it was asked"
    house.clock.now += 24 * 3600
    house.lives(house.daemon(), minutes=15)
    assert len(market.asked) == 2


def test_a_bill_that_cannot_be_read_leaves_the_older_figures_and_says_why(house: House, market: Listed) -> None:
    daemon, accounts = house.daemon(), house.backend.ledger.accounts
    for at, given in ((1.0, {"by_service": {"Amazon EC2": 5}}), (2.0, {"why": "AccessDenied"})):
        market.answer = Bill(first="2026-11-01", end="2026-11-29", at=at, **given)  # type: ignore[arg-type]
        house.lives(daemon, minutes=11)
    assert accounts.bill() == Bill(first="2026-11-01", end="2026-11-29", at=2.0, by_service={"Amazon EC2": 5},
                                   why="AccessDenied")
