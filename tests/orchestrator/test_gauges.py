"""What the daemon tells of itself: by the real daemon and worker of the simulator's track, over a real ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.backend import Backend
from lab.clock import SystemClock
from lab.errors import Unavailable
from lab.experiment import Outcome, Scores
from lab.ledger import Ledger
from lab.local.mailbox import FileMailbox
from lab.local.queue import SqliteQueue
from lab.local.store import FileStore
from lab.local.table import SqliteTable
from lab.settings import parse
from orchestrator.daemon import Daemon
from orchestrator.gauges import EVERY_S, Gauges
from orchestrator.given import DaemonConfig, Surroundings
from orchestrator.planner import ClipSets
from orchestrator.proposer import InlineProposer
from support.curve.spec import TRACK

SETTINGS = "[designers]\nevolution = 0.0\n[limits]\nworkers = 2\n[report]\nhourly = false\n"
DONE = Outcome(verdict="partial", scores=Scores(mean={"coefficients": 3.0, "fit_db": 12.5, "fit_ms": 1.0}, clips={}))
FAILED = Outcome(verdict="failed", reason="crash")


class Heard:
    """Implements `lab.aws.telemetry.Telemetry`."""

    def __init__(self) -> None:
        self.lines: list[tuple[dict[str, float], dict[str, str], dict[str, Any]]] = []

    def tell(self, values: Mapping[str, float], by: Mapping[str, str] | None = None, **beside: Any) -> None:
        self.lines.append((dict(values), dict(by or {}), beside))

    def last(self, name: str) -> list[tuple[float, dict[str, str]]]:
        return [(values[name], by) for values, by, _ in self.lines if name in values]


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = SystemClock().wall()

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class House:
    def __init__(self, folder: Path) -> None:
        table, self.clock, self.heard = SqliteTable(":memory:"), Hand(), Heard()
        self.backend = Backend(
            address="local:test", ledger=Ledger(table, self.clock), folder=folder,
            queues={"cpu": SqliteQueue(table, "cpu", self.clock.wall)}, store=FileStore(folder / "store"),
            mailbox=FileMailbox(folder / "outbox"))
        self.daemon = Daemon(DaemonConfig(holder="me"), parse(SETTINGS), Surroundings(
            backend=self.backend, track=TRACK, proposer=InlineProposer(), reporter=NoReporter(),
            clips=ClipSets("1" * 64, "2" * 64), clock=self.clock, parse=parse))
        self.gauges = Gauges(self.heard, self.backend, self.clock)

    def rounds(self, count: int = 4) -> None:
        for _ in range(count):
            self.daemon.step()
            self.gauges.look(self.daemon)

    def minute(self) -> None:
        self.heard.lines.clear()
        self.clock.now += EVERY_S
        self.rounds()

    def finish(self, outcome: Outcome) -> str:
        id = next(e.id for e in self.backend.ledger.all_experiments("queued") if e.reservation)
        fence = self.backend.ledger.claim(id, worker="w", device_class="cpu", op_id=f"c.{id}")
        self.backend.ledger.finish(id, fence, outcome, used_s=1.0, phases={}, op_id=f"f.{id}")
        return id


class NoReporter:
    busy = False

    def start(self, key: str, why: str) -> None:
        """Nobody composes anything here."""


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.rounds()
    return house


def test_a_daemon_that_holds_the_lab_tells_that_it_lives_once_a_minute(house: House) -> None:
    assert house.heard.last("DaemonHeartbeat") == [(1, {})]
    house.rounds()
    assert len(house.heard.last("DaemonHeartbeat")) == 1
    house.minute()
    assert len(house.heard.last("DaemonHeartbeat")) == 1


def test_a_daemon_whose_heartbeat_the_ledger_does_not_take_tells_of_none(
        house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise Unavailable("the network is gone")
    monkeypatch.setattr(house.backend.ledger.office, "beat_daemon", away)
    house.minute()
    assert house.heard.last("DaemonHeartbeat") == []
    assert len(house.heard.last("Backlog")) == 1


def test_what_ended_is_counted_by_its_verdict_and_once(house: House) -> None:
    house.finish(DONE)
    house.finish(FAILED)
    house.minute()
    assert sorted(house.heard.last("Experiments"), key=str) == [(1, {"Verdict": "failed"}), (1, {"Verdict": "partial"})]
    house.minute()
    assert house.heard.last("Experiments") == []


def test_a_daemon_that_takes_over_does_not_count_again(house: House, tmp_path: Path) -> None:
    house.finish(DONE)
    house.rounds()
    heard = Heard()
    Gauges(heard, house.backend, house.clock).look(house.daemon)
    assert heard.last("Experiments") == []


def test_the_best_so_far_is_told_for_each_metric_that_decides(house: House) -> None:
    best = house.finish(DONE)
    house.minute()
    found = {by["Metric"]: value for value, by in house.heard.last("BestSoFar")}
    decides = {one.metric for one in (*TRACK.objectives, *TRACK.goals)}
    assert found == {name: value for name, value in DONE.scores.mean.items() if name in decides}  # type: ignore[union-attr]
    assert {beside["experiment"] for values, _, beside in house.heard.lines if "BestSoFar" in values} == {best}


def test_what_waits_for_a_worker_is_counted_with_its_age(house: House) -> None:
    house.minute()
    [(waiting, _)] = house.heard.last("Backlog")
    assert waiting > 0
    house.minute()
    house.minute()
    assert house.heard.last("Backlog") == [(waiting, {})]
    assert house.heard.last("QueueAgeS") == [(2 * EVERY_S, {})]
    assert house.heard.lines[0][2]["messages"]["cpu"] >= waiting


def test_the_months_spending_is_told_in_dollars(house: House) -> None:
    house.finish(DONE)
    house.minute()
    [(spent, _)] = house.heard.last("SpentUsd")
    assert spent == sum(budget.spent for budget in house.daemon.view.budgets.values()) / 1e6 > 0


def test_a_lab_that_waits_for_a_person_is_alive_once_a_minute(house: House) -> None:
    heard = Heard()
    gauges = Gauges(heard, house.backend, house.clock)
    for _ in range(12):
        gauges.wait("waits for footage")
        house.clock.now += EVERY_S / 6
    assert heard.last("DaemonHeartbeat") == [(1, {}), (1, {})]
    assert heard.lines[0][2]["messages"]["cpu"] is not None
    assert heard.lines[0][2]["stage"] == "waits for footage"
