"""The daemon's round over a real ledger: what changes under its hands between a look and a write ends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.backend import Backend
from lab.clock import SystemClock
from lab.control import Report
from lab.errors import Unavailable
from lab.ledger import Ledger
from lab.local.journal import Journal, good_lines
from lab.local.mailbox import FileMailbox
from lab.local.queue import SqliteQueue
from lab.local.store import FileStore
from lab.local.table import SqliteTable
from lab.settings import parse
from lab.table import Key, Record
from orchestrator.books import Books
from orchestrator.daemon import Daemon
from orchestrator.given import DaemonConfig, Surroundings
from orchestrator.planner import ClipSets
from orchestrator.proposer import InlineProposer
from support.curve.spec import TRACK
from support.house import House

SETTINGS = parse("[designers]\nevolution = 0.0\n[limits]\nexperiments = 3\n")


class NoReporter:
    busy = False

    def start(self, key: str, why: str) -> None:
        """Nobody composes anything here."""


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    table, clock = SqliteTable(":memory:"), SystemClock()
    return Backend(address="local:test", ledger=Ledger(table, clock), folder=tmp_path,
                   queues={"cpu": SqliteQueue(table, "cpu", clock.wall)}, store=FileStore(tmp_path / "store"),
                   mailbox=FileMailbox(tmp_path / "outbox"))


@pytest.fixture
def daemon(backend: Backend, tmp_path: Path) -> Daemon:
    return Daemon(DaemonConfig(holder="me"), SETTINGS, Surroundings(
        backend=backend, track=TRACK, proposer=InlineProposer(), reporter=NoReporter(),
        clips=ClipSets("1" * 64, "2" * 64), clock=SystemClock(), parse=parse,
        journal=Journal(tmp_path / "journal.jsonl")))


def rounds(daemon: Daemon, count: int = 4) -> None:
    for _ in range(count):
        daemon.step()


def test_an_experiment_that_is_cancelled_between_the_look_and_the_payment_ends_nothing(
        backend: Backend, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve, cancelled = Books.reserve, list[str]()

    def reserve_too_late(self: Books, experiment: Any, *given: Any) -> bool:
        if not cancelled:
            cancelled.append(backend.ledger.cancel(experiment.id, "just now", op_id="a person"))
        return reserve(self, experiment, *given)
    monkeypatch.setattr(Books, "reserve", reserve_too_late)
    rounds(daemon)
    assert backend.ledger.experiment(cancelled[0]).state == "cancelled"
    assert not daemon.over
    assert any(e.reservation for e in backend.ledger.all_experiments("queued"))


def test_a_stop_that_was_said_to_an_earlier_run_is_taken_back_though_the_reply_is_lost(
        backend: Backend, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    office = backend.ledger.office
    office.set_control(stop="drain", op_id="a person")
    said, lost = office.set_control, iter([True, False])

    def set_control(**named: Any) -> Any:
        answer = said(**named)
        if next(lost, False):
            raise Unavailable("the reply was lost")
        return answer
    monkeypatch.setattr(office, "set_control", set_control)
    rounds(daemon)
    assert daemon.stage == "explore"


def test_the_journal_of_a_lab_at_rest_ends_with_the_daemon_s_leaving(
        backend: Backend, daemon: Daemon, tmp_path: Path) -> None:
    rounds(daemon)
    backend.ledger.office.set_control(stop="now", op_id="a person")
    for _ in range(50):
        if daemon.over:
            break
        if daemon.stage == "done":  # the reporter has composed the last report
            backend.ledger.office.post_report(Report(key="end-1", subject="", text=""), op_id="report")
        daemon.step()
    with (tmp_path / "journal.jsonl").open("rb") as lines:
        *_, last = good_lines(lines)
    assert (last.change.action, last.change.n) == ("leave_lease", backend.ledger.last_change())


def test_a_daemon_begins_with_the_settings_that_were_pushed_while_it_waited(backend: Backend, daemon: Daemon) -> None:
    backend.ledger.office.push_settings("[designers]\nevolution = 0.0\n[limits]\nexperiments = 1\n", op_id="a person")
    rounds(daemon, 8)
    assert [e.purpose for e in backend.ledger.all_experiments()].count("explore") == 1


def test_a_daemon_that_waits_for_a_designer_looks_again_sooner(backend: Backend, tmp_path: Path) -> None:
    """Where a look is paid for it is unhurried, but not while a place is free."""
    proposer = InlineProposer()
    daemon = Daemon(DaemonConfig(holder="me", tick_s=1.0, asking_s=0.2), SETTINGS, Surroundings(
        backend=backend, track=TRACK, proposer=proposer, reporter=NoReporter(),
        clips=ClipSets("1" * 64, "2" * 64), clock=SystemClock(), parse=parse))
    pauses = dict[bool, float]()
    for _ in range(12):
        pause_s = daemon.step()
        if pause_s:
            pauses[proposer.busy] = pause_s
    assert pauses == {True: 0.2, False: 1.0}


@pytest.mark.parametrize(("may_come", "in_settings", "in_flight"), [(1, 1, 2), (5, 1, 6), (1, 3, 4)])
def test_there_is_work_for_each_worker_that_may_come_and_one_that_waits(
        backend: Backend, may_come: int, in_settings: int, in_flight: int) -> None:
    settings = parse(f"[designers]\nevolution = 0.0\n[limits]\nworkers = {in_settings}\n[report]\nhourly = false\n")
    daemon = Daemon(DaemonConfig(holder="me", fleets={"cpu": may_come}), settings, Surroundings(
        backend=backend, track=TRACK, proposer=InlineProposer(), reporter=NoReporter(),
        clips=ClipSets("1" * 64, "2" * 64), clock=SystemClock(), parse=parse))
    rounds(daemon, 20)
    assert len(list(backend.ledger.all_experiments())) == in_flight


def test_all_heartbeats_are_looked_at_in_one_request_and_no_oftener_than_they_come(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = "workers = 2\nlease_s = 120\nbeat_s = 15\ngrace_s = 15\n"
    house = House(tmp_path, parse(f"[designers]\nevolution = 0.0\n[limits]\n{limits}"))
    daemon, ledger = house.daemon(), house.backend.ledger
    house.lives(daemon, minutes=0.5)
    for experiment in ledger.all_experiments("queued"):
        ledger.claim(experiment.id, worker="w", device_class="cpu", op_id=f"claim.{experiment.id}")
    house.lives(daemon, minutes=0.5)
    assert len(daemon.view.running()) > 1
    asked: list[int] = []
    many = ledger.table.get_many

    def get_many(keys: Sequence[Key]) -> Sequence[Record]:
        asked.append(sum(kind == "beat" for kind, _ in keys))
        return many(keys)
    monkeypatch.setattr(ledger.table, "get_many", get_many)
    house.lives(daemon, minutes=0.5)
    assert [count for count in asked if count] == [len(daemon.view.running())] * 2
