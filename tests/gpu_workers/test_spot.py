"""On a spot machine checkpoints come as often as they are worth, and what could not outlast it is not begun."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from gpu_workers.interruption import checkpoint_interval_s
from lab.errors import Unavailable
from lab.experiment import Machine, Terms
from lab.track import Phase
from support.bench import CHECKPOINT_S, GRACE_S, LEASE_S, PHASES, Bench

SPOT = Machine(id="i-0abc", type="g5.xlarge", zone="us-east-1a", spot=True)
STAYS = replace(SPOT, spot=False)
COST_S = 10.0  # of keeping a checkpoint
HOUR_S = 3600.0
LONG = (replace(PHASES[0], limit_s=48 * HOUR_S, asked_s=48 * HOUR_S), PHASES[1])
DEAR = ("may take 48 h; on a spot machine with 0.15 interruptions an hour that bills 8,923 h. Lower limits.phase_s, or "
        "run it on a machine that stays")
LONG_BARE = (replace(LONG[0], live=""), PHASES[1])


def at_work(folder: Path, machine: Machine | None, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """In a phase whose checkpoints take COST_S each to keep."""
    bench = Bench(folder, machine=machine)
    bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    keep = bench.workspaces[-1].keep_live

    def kept(phase: Phase) -> dict[str, str]:
        bench.clock.now += COST_S
        return keep(phase)
    monkeypatch.setattr(bench.workspaces[-1], "keep_live", kept)
    return bench


def next_checkpoint_s(bench: Bench) -> float:
    """How long after the last look a phase that always has a new one has it taken, in whole seconds."""
    bench.runner.live, begun, taken = True, bench.clock.now, bench.workspaces[-1].step
    while bench.workspaces[-1].step == taken:
        bench.clock.now += 1
        bench.worker.step()
    return bench.clock.now - COST_S - begun


def test_the_first_measure_decides_when_the_next_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = at_work(tmp_path, SPOT, monkeypatch)
    interval_s = checkpoint_interval_s(COST_S, Terms().interruptions_per_h, CHECKPOINT_S)
    assert next_checkpoint_s(bench) == CHECKPOINT_S
    next_checkpoint_s(bench)
    lost_s = next_checkpoint_s(bench) + COST_S + CHECKPOINT_S  # what a kill costs at most, by the phase's own clock too
    assert interval_s > 10 * CHECKPOINT_S
    assert interval_s - 1 <= lost_s <= interval_s + 1


@pytest.mark.parametrize("machine", [None, STAYS])
def test_a_machine_that_stays_keeps_one_as_often_as_the_settings_say(
        machine: Machine | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = at_work(tmp_path, machine, monkeypatch)
    assert [next_checkpoint_s(bench) for _ in range(3)] == [CHECKPOINT_S, *2 * [CHECKPOINT_S - COST_S]]


def test_a_checkpoint_that_comes_after_its_time_is_taken_as_soon_as_it_is_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    bench.clock.now += CHECKPOINT_S
    bench.worker.step()
    bench.runner.live = True
    bench.worker.step()
    assert "fit" in bench.lab.ledger.experiment(id).checkpoints


def test_a_checkpoint_that_the_store_did_not_take_is_there_when_the_machine_has_to_go(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, machine=SPOT)
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)

    def away(_: object) -> dict[str, str]:
        raise Unavailable("the store is away")
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(bench.workspaces[-1], "keep_live", away)
        bench.runner.live = True
        bench.clock.now += CHECKPOINT_S
        bench.worker.step()
        bench.worker.interrupt("spot interruption")
        bench.worker.step()
    assert not bench.worker.idle
    bench.worker.step()
    ended = bench.lab.ledger.experiment(id)
    assert (ended.state, ended.attempts[-1].ending) == ("queued", "interrupted")
    assert ended.checkpoints["fit"].outputs.keys() == {"descent.json"}


def test_a_store_that_stays_away_does_not_keep_the_work_from_being_given_back(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, machine=SPOT)
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)

    def away(_: object) -> dict[str, str]:
        raise Unavailable("the store is away")
    monkeypatch.setattr(bench.workspaces[-1], "keep_live", away)
    bench.runner.live = True
    bench.worker.interrupt("spot interruption", keep_s=20.0)
    bench.clock.now += bench.worker.step() + 15.0
    assert not bench.worker.idle
    bench.clock.now += bench.worker.step() + 5.0
    bench.worker.step()
    ended = bench.lab.ledger.experiment(id)
    assert (bench.runner.killed, ended.state, ended.attempts[-1].ending) == (1, "queued", "interrupted")
    assert bench.queue.waiting() == 1


def test_the_lease_is_shown_to_live_before_the_last_checkpoint_is_kept(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = at_work(tmp_path, SPOT, monkeypatch)
    id = bench.worker.experiment
    before = bench.lab.ledger.beat_of(id, 1)
    n = before.n if before else 0
    bench.runner.live = True
    bench.clock.now += LEASE_S - GRACE_S - 1
    bench.worker.interrupt("spot interruption")
    bench.worker.step()
    shown = bench.lab.ledger.beat_of(id, 1)
    assert shown is not None
    assert (shown.n, shown.used_s) == (n + 1, LEASE_S - GRACE_S - 1)  # and not only once it was kept
    assert bench.lab.ledger.experiment(id).attempts[-1].used_s == shown.used_s + COST_S


def test_days_without_checkpoints_are_not_begun_on_a_machine_that_may_be_taken(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LONG_BARE, SPOT)
    outcome = bench.outcome(bench.send())
    assert bench.runner.started == []
    assert (outcome.verdict, outcome.reason) == ("failed", "harness_fault")  # no fault of the candidate's
    assert outcome.detail == f"fit leaves no checkpoint, and {DEAR}"


def test_one_that_was_to_leave_checkpoints_and_does_not_is_given_up_after_an_hour(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LONG, SPOT)
    id = bench.send()
    bench.step_until(lambda: bench.runner.started == ["fit"])
    run_for(bench, HOUR_S - 60)
    assert bench.runner.killed == 0
    run_for(bench, 60)
    outcome = bench.outcome(id)
    assert bench.runner.killed == 1
    assert (outcome.reason, outcome.detail) == (
        "harness_fault", f"fit: left no checkpoint in its first 60 minutes, and {DEAR}")
    assert "log.txt" in bench.lab.ledger.experiment(id).checkpoints["fit"].outputs


@pytest.mark.parametrize(("phases", "machine", "leaves"), [
    (LONG, SPOT, True), (PHASES, SPOT, False), (LONG, STAYS, False)])
def test_one_that_leaves_them_or_is_short_or_stays_goes_on(
        phases: tuple[Phase, ...], machine: Machine, leaves: bool, tmp_path: Path) -> None:
    bench = Bench(tmp_path, phases, machine)
    bench.send()
    bench.step_until(lambda: bench.runner.started == ["fit"])
    bench.runner.live = leaves
    run_for(bench, 2 * HOUR_S)
    assert bench.runner.killed == 0


def run_for(bench: Bench, seconds: float) -> None:
    """In steps that a lease outlasts."""
    end = bench.clock.now + seconds
    while bench.clock.now < end:
        bench.clock.now += 30.0
        bench.worker.step()


@pytest.mark.parametrize(("phases", "machine"), [(LONG, SPOT), (LONG_BARE, STAYS), (LONG_BARE, None)])
def test_days_are_begun_with_checkpoints_or_on_a_machine_that_stays(
        phases: tuple[Phase, ...], machine: Machine | None, tmp_path: Path) -> None:
    bench = Bench(tmp_path, phases, machine)
    bench.send()
    bench.step_until(lambda: bench.runner.started == ["fit"])
