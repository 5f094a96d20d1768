"""A person's word against the levels of the budget: the daemon heeds it for as long as it was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.clock import month_key
from lab.money import to_micro
from lab.settings import parse
from orchestrator.budgeting import training_stops
from orchestrator.stages import OVER_BUDGET
from support.house import House

SETTINGS = parse("[designers]\nevolution = 0.0\n[budget]\nmonthly_usd = 1.0\n")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Whose month is spent to 96 %."""
    house = House(tmp_path, SETTINGS)
    accounts, office = house.backend.ledger.accounts, house.backend.ledger.office
    epoch = office.take_lease("before", host="", pid=0, observed=None, op_id="before")
    month = month_key(house.clock.wall())
    accounts.set_cap(month, to_micro(1.0), op_id="cap")
    accounts.reserve_overhead("overhead.1.1", to_micro(0.96), (month,), price_usd_h=1.0, epoch=epoch, op_id="reserve")
    accounts.settle("overhead.1.1", to_micro(0.96), epoch=epoch, op_id="settle")
    office.leave_lease(epoch, op_id="left")
    return house


def test_at_95_percent_a_run_ends_and_says_what_a_person_can_do(house: House) -> None:
    daemon = house.daemon()
    house.lives(daemon, minutes=1)
    assert daemon.why == OVER_BUDGET


def test_an_override_lets_it_go_on_until_its_time_is_up(house: House) -> None:
    house.backend.ledger.office.set_control(override_until=house.clock.wall() + 600.0, op_id="aether budget override")
    daemon = house.daemon()
    house.lives(daemon, minutes=9)
    assert (daemon.stage, daemon.why) == ("explore", "")
    house.lives(daemon, minutes=2)
    assert daemon.why == OVER_BUDGET


def test_training_stops_from_high_on_unless_overridden() -> None:
    assert [training_stops(level, False) for level in ("ok", "medium", "high", "critical")] == [
        False, False, True, True]
    assert not any(training_stops(level, True) for level in ("high", "critical"))
