"""A message that nobody could be done with ends its experiment, where the ledger bears it out, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.dead_letters import bury
from lab.experiment import Experiment
from lab.settings import parse
from support.house import House
from support.reported import ReportedLab


def test_what_waits_ends_as_poison_once_however_often_the_message_comes(lab: ReportedLab) -> None:
    id = lab.lab.ready()
    assert [bury(lab.ledger, id, 20), bury(lab.ledger, id, 21)] == [True, False]
    outcome = lab.ledger.experiment(id).outcome
    assert outcome is not None
    assert (outcome.reason, outcome.detail) == (
        "poison", "its message was received 20 times, and nobody came to claim it")


@pytest.mark.parametrize("step", ["propose", "start", "end"])
def test_what_does_not_wait_is_left_alone(lab: ReportedLab, step: str) -> None:
    made = getattr(lab.lab, step)()
    id = made if isinstance(made, str) else made[0]
    before = lab.ledger.experiment(id)
    assert not bury(lab.ledger, id, 20)
    assert lab.ledger.experiment(id) == before


@pytest.mark.parametrize("body", ["e9999", "", "{\"not\": \"ours\"}", "\x00" * 300])
def test_a_message_that_names_no_experiment_is_dropped(lab: ReportedLab, body: str) -> None:
    assert not bury(lab.ledger, body, 20)


def test_a_claim_that_comes_in_between_wins(lab: ReportedLab, monkeypatch: pytest.MonkeyPatch) -> None:
    id = lab.lab.ready()
    look = lab.ledger.experiment

    def slow(id: str) -> Experiment:
        seen = look(id)
        lab.lab.claim(id)
        return seen
    monkeypatch.setattr(lab.ledger, "experiment", slow)
    assert not bury(lab.ledger, id, 20)
    assert look(id).state == "running"


def test_a_daemon_that_lives_follows_it_and_frees_the_money(tmp_path: Path) -> None:
    house = House(tmp_path, parse("[designers]\nevolution = 0.0\n[limits]\nworkers = 1\n"))
    daemon, ledger = house.daemon(), house.backend.ledger
    house.lives(daemon, minutes=1)
    waiting = next(e for e in ledger.all_experiments("queued") if e.reservation)
    assert bury(ledger, waiting.id, 20)
    house.lives(daemon, minutes=1)
    assert daemon.view.outcomes["failed"] == 1
    paid = ledger.accounts.reservation(waiting.reservation or "")
    assert paid is not None
    assert paid.settled
    assert ledger.experiment(waiting.id).cost_microusd == 0
    assert len(list(ledger.all_experiments("queued"))) >= 1, "another takes its place"


def test_it_needs_no_daemon(lab: ReportedLab) -> None:
    id = lab.lab.ready()
    lab.ledger.office.leave_lease(lab.lab.epoch, op_id="left")
    assert bury(lab.ledger, id, 20)
