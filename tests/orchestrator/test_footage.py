"""A daemon that stays waits for footage as it rests: it is alive, its hours are booked, it hears a signal, and it
begins with the first clip to score on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest

from lab.clipset import POINTER
from lab.clock import month_key
from lab.settings import parse
from orchestrator.gauges import EVERY_S, Gauges
from orchestrator.main import _waited
from orchestrator.meter import Tab
from orchestrator.rest import Rest
from orchestrator.upkeep import Upkeep
from support.clips import add_clip
from support.house import House
from support.market import FIXED, Listed

TEXT = "[designers]\nevolution = 0.0\n[limits]\nminutes = 10\n[budget]\nmonthly_usd = 7\n"
HOUR_S = 3600.0


class Heard:
    """Implements `lab.aws.telemetry.Telemetry`."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def tell(self, values: Any, by: Any = None, **beside: Any) -> None:
        assert values == {"DaemonHeartbeat": 1}
        self.stages.append(beside["stage"])


class Waiting:
    """A process that stays and waits on the house's clock; `when` something is due, it is done."""

    def __init__(self, house: House, market: Listed) -> None:
        self.house, self.heard, self.signals = house, Heard(), list[int]()
        self.upkeep = Upkeep(house.backend.ledger, house.clock, market, Tab())
        self.due: list[tuple[float, Callable[[], object]]] = []

    def after(self, hours: float, what: Callable[[], object]) -> None:
        self.due.append((self.house.clock.now + hours * HOUR_S, what))

    def time(self) -> float:
        return self.house.clock.now

    def sleep(self, seconds: float) -> None:
        self.house.clock.now += seconds
        while self.due and self.due[0][0] <= self.house.clock.now:
            self.due.pop(0)[1]()

    def begins(self, monkeypatch: pytest.MonkeyPatch) -> bool:
        """Whether a daemon is to begin; else a signal has ended the wait."""
        backend = self.house.backend
        with monkeypatch.context() as patched:
            patched.setattr("orchestrator.main.time", self)
            gauges = Gauges(self.heard, backend, self.house.clock)
            return _waited(Rest(backend.ledger), backend.store, self.upkeep, self.signals, gauges)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Deployed, with its settings, and no footage."""
    house = House(tmp_path, parse(TEXT), Listed())
    house.backend.ledger.office.push_settings(TEXT, op_id="push")
    return house


@pytest.fixture
def waiting(house: House) -> Waiting:
    return Waiting(house, Listed())


def booked(house: House) -> dict[str, float]:
    """Hours by entry."""
    return {one.key: pytest.approx(one.amount / 1e6 / FIXED, abs=0.01)  # type: ignore[misc]
            for one in house.backend.ledger.accounts.entries() if one.key.startswith("rest")}


def test_a_lab_that_never_ran_waits_for_footage_alive_and_paid_and_begins_with_it(
        house: House, waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting.after(2.5, lambda: add_clip(house.backend.store))
    assert waiting.begins(monkeypatch)
    assert set(waiting.heard.stages) == {"waits for footage"}
    assert len(waiting.heard.stages) == pytest.approx(2.5 * HOUR_S / EVERY_S, abs=2)
    assert booked(house) == {"rest.0.1": 1, "rest.0.2": 1, "rest.0.3": 0.5}
    daemon = house.daemon()
    house.lives(daemon, minutes=1)
    assert daemon.epoch == 1


def test_a_signal_ends_the_wait_and_the_next_process_books_the_hour_once(
        house: House, waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting.after(1.5, lambda: waiting.signals.append(SIGTERM))
    assert not waiting.begins(monkeypatch)
    assert booked(house) == {"rest.0.1": 1}
    heir = Waiting(house, Listed())
    heir.after(1.0, lambda: add_clip(house.backend.store))
    assert heir.begins(monkeypatch)
    assert booked(house) == {"rest.0.1": 1, "rest.0.2": 1, "rest.0.3": 0.5}


def test_a_clip_to_train_on_alone_begins_nothing(
        house: House, waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    add_clip(house.backend.store, "train")
    waiting.after(0.1, lambda: waiting.signals.append(SIGTERM))
    assert not waiting.begins(monkeypatch)
    assert set(waiting.heard.stages) == {"waits for footage"}


def test_a_wait_goes_over_the_end_of_a_month_and_each_hour_is_booked_to_its_own(
        house: House, waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting.after(14.0, lambda: add_clip(house.backend.store))  # from noon of the last of November on
    assert waiting.begins(monkeypatch)
    accounts = house.backend.ledger.accounts
    of_month = {month: sum(entry.amount for entry in accounts.entries() if entry.budgets == (month,))
                for month in ("2026-11", month_key(house.clock.now))}
    assert of_month == {"2026-11": pytest.approx(12e6 * FIXED, rel=0.01),
                        "2026-12": pytest.approx(2e6 * FIXED, rel=0.01)}


def test_a_lab_whose_clips_are_lost_waits_where_a_persons_word_ends_its_rest(
        house: House, waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its hours go on from the rest, none twice and none lost."""
    store, office = house.backend.store, house.backend.ledger.office
    daemon = house.daemon()
    house.lives(daemon, minutes=15)
    assert daemon.left
    assert store.pointer(POINTER) is None
    waiting.after(0.5, lambda: office.push_settings("[limits]\nminutes = 5\n", op_id="another"))
    waiting.after(1.5, lambda: add_clip(store))
    assert waiting.begins(monkeypatch)
    assert set(waiting.heard.stages) == {"rest", "waits for footage"}
    assert booked(house) == {"rest.1.1": 1, "rest.1.2": 0.5}


def test_nothing_is_booked_at_rest_of_a_run_that_the_next_daemon_goes_on_with(
        house: House, waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    house.lives(house.daemon(), minutes=5)
    waiting.after(1.5, lambda: add_clip(house.backend.store))
    assert waiting.begins(monkeypatch)
    assert booked(house) == {}
