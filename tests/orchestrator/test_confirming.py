"""How a run comes to its end: with confirmations that have run under another name, with anchors that are still due."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.clock import SystemClock
from lab.control import Idea
from lab.experiment import Experiment, Outcome, Scores, Spec
from lab.judging.champion import SEEDS
from lab.ledger import Ledger
from lab.local.backend import open_local
from lab.settings import parse
from orchestrator.champion import champion
from orchestrator.daemon import Daemon
from orchestrator.given import DaemonConfig, Surroundings
from orchestrator.planner import ClipSets, Planner
from orchestrator.proposer import InlineProposer
from support.curve.spec import TRACK
from support.laboratory import CRASH

SETTINGS = parse("[designers]\nevolution = 0.0\n[limits]\nexperiments = 1\nstop_at_goal = false\n"
                 "[report]\nhourly = false\n")
EXPLORE, CONFIRM = "1" * 64, "2" * 64
PARAMS = {"degree": 5, "ridge": 0.5}


def outcome(of: Spec, holds: bool) -> Outcome:
    """What people ask for is better than what control finds. Where it does not `hold`, no goal on
    the fit is met, and what people ask for crashes on other footage."""
    if not holds and of.params == PARAMS and of.clips == CONFIRM:
        return CRASH
    values = {"fit_db": 20.0 if holds else 5.0, "fit_ms": 1.0, "coefficients": 2.0 if of.params == PARAMS else 5.0}
    return Outcome(verdict="success" if holds else "partial",
                   scores=Scores(mean=values, clips={"points": values}, device_class="here"))


class NoReporter:
    busy = False

    def start(self, key: str, why: str) -> None:
        """Nobody composes anything here."""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_local(tmp_path / "lab", create=True).ledger


@pytest.fixture
def daemon(ledger: Ledger, tmp_path: Path) -> Daemon:
    return hired(tmp_path, DaemonConfig(holder="me"))


def hired(tmp_path: Path, config: DaemonConfig) -> Daemon:
    return Daemon(config, SETTINGS, Surroundings(
        backend=open_local(tmp_path / "lab"), track=TRACK, proposer=InlineProposer(), reporter=NoReporter(),
        clips=ClipSets(EXPLORE, CONFIRM), clock=SystemClock(), parse=parse))


def run(daemon: Daemon, ledger: Ledger, *, holds: bool) -> None:
    """Until it drains; whatever it dispatches ends well at once."""
    for turn in range(200):
        daemon.step()
        for waiting in [e for e in ledger.all_experiments("queued") if e.reservation]:
            fence = ledger.claim(waiting.id, worker="w", device_class="here", op_id=f"claim.{turn}.{waiting.id}")
            ledger.finish(waiting.id, fence, outcome(waiting.spec, holds), used_s=1.0, phases={},
                          op_id=f"finish.{turn}.{waiting.id}")
        if daemon.stage in ("drain", "done"):
            return
    pytest.fail(f"still {daemon.stage} after 200 rounds, with {len(list(ledger.all_experiments()))} experiments")


def ask(ledger: Ledger, clips: str, seed: int) -> None:
    ledger.office.add_idea(Idea(key=f"{clips[0]}.{seed}", family="polynomial", params=PARAMS, clips=clips, seed=seed),
                           op_id=f"ask.{clips[0]}.{seed}")


def believed(daemon: Daemon, ledger: Ledger) -> dict[str, Any]:
    found = champion(daemon.view)
    assert found is not None
    return ledger.experiment(found.id).spec.params


def test_two_candidates_that_differ_in_their_seed_alone_are_refuted_by_the_same_runs(
        daemon: Daemon, ledger: Ledger) -> None:
    ask(ledger, EXPLORE, seed=8)
    ask(ledger, EXPLORE, seed=9)
    run(daemon, ledger, holds=False)
    seeds = [e.spec.seed for e in ledger.all_experiments() if e.purpose == "confirm" and e.spec.params == PARAMS]
    assert seeds
    assert len(set(seeds)) == len(seeds)
    assert champion(daemon.view) is None


def test_a_confirmation_that_a_person_has_asked_for_by_themselves_is_one(daemon: Daemon, ledger: Ledger) -> None:
    ask(ledger, EXPLORE, seed=8)
    ask(ledger, CONFIRM, seed=SEEDS[0])
    run(daemon, ledger, holds=True)
    assert believed(daemon, ledger) == PARAMS


def test_an_anchor_that_was_due_runs_though_the_next_daemon_finds_nothing_to_explore(
        daemon: Daemon, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before_it_came_to_anchors:
        before_it_came_to_anchors.setattr(Planner, "anchor", lambda self: None)
        while not (waiting := [e for e in ledger.all_experiments("queued") if e.reservation]):
            daemon.step()
    fence = ledger.claim(waiting[0].id, worker="w", device_class="here", op_id="claim")
    ledger.finish(waiting[0].id, fence, outcome(waiting[0].spec, True), used_s=1.0, phases={}, op_id="finish")
    proof = (daemon.epoch, ledger.office.daemon_beat(daemon.epoch))
    run(hired(tmp_path, DaemonConfig(holder="next", observed=proof)), ledger, holds=True)
    assert [e.purpose for e in ledger.all_experiments()].count("anchor") == 1


@pytest.mark.parametrize("runs", [False, True])
def test_once_a_leader_is_refuted_its_confirmations_that_wait_are_called_off_and_one_that_runs_goes_on(
        daemon: Daemon, ledger: Ledger, runs: bool) -> None:
    ask(ledger, EXPLORE, seed=8)
    first, second = two_confirmations(daemon, ledger)
    fence = claimed(ledger, second.id) if runs else 0
    finish(ledger, first, claimed(ledger, first.id))
    for _ in range(5):
        daemon.step()
    held = [reservation.experiment for reservation in ledger.accounts.open_reservations()]
    assert (ledger.experiment(second.id).state, second.id in held) == (
        ("running", True) if runs else ("cancelled", False))
    if runs:
        finish(ledger, second, fence)
    confirming = [e for e in ledger.all_experiments() if e.purpose == "confirm" and e.spec.params == PARAMS]
    assert confirming == [ledger.experiment(first.id), ledger.experiment(second.id)]


def two_confirmations(daemon: Daemon, ledger: Ledger) -> list[Experiment]:
    """Of what a person has asked for, queued and paid; all else has ended."""
    for _ in range(200):
        daemon.step()
        waiting = [e for e in ledger.all_experiments("queued") if e.reservation]
        confirming = [e for e in waiting if e.purpose == "confirm" and e.spec.params == PARAMS]
        if len(confirming) == 2:
            return confirming
        for other in [e for e in waiting if e not in confirming]:
            finish(ledger, other, claimed(ledger, other.id))
    pytest.fail("two confirmations never waited at once")


def claimed(ledger: Ledger, id: str) -> int:
    return ledger.claim(id, worker="w", device_class="here", op_id=f"claim.{id}")


def finish(ledger: Ledger, experiment: Experiment, fence: int) -> None:
    ledger.finish(experiment.id, fence, outcome(experiment.spec, False), used_s=1.0, phases={},
                  op_id=f"finish.{experiment.id}")
