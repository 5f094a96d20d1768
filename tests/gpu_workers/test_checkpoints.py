"""What a worker keeps of a phase that runs: its checkpoints, on a clock and at a notice, and which of them may go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gpu_workers.workspace import FolderWorkspace
from lab.errors import Unavailable
from support.bench import CHECKPOINT_S, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_checkpoint_is_kept_on_a_clock_and_the_next_attempt_goes_on_from_it(bench: Bench) -> None:
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    bench.runner.live = True
    bench.worker.step()
    assert "fit" not in bench.lab.ledger.experiment(id).checkpoints, "its time has not come"
    bench.clock.now += CHECKPOINT_S
    bench.worker.step()
    kept = bench.lab.ledger.experiment(id).checkpoints["fit"]
    assert (kept.done, bench.store.read(kept.outputs["descent.json"])) == (False, b"step 41")
    bench.worker.interrupt("spot notice")
    bench.step_until(lambda: bench.worker.idle)
    bench.lab.reserve(id)
    bench.step_until(lambda: len(bench.runner.started) == 2)
    assert bench.runner.resumed == ["step 41"]


def test_the_last_checkpoint_is_taken_before_the_work_is_given_back(bench: Bench) -> None:
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    bench.runner.live = True
    bench.worker.interrupt("spot notice")
    bench.step_until(lambda: bench.worker.idle)
    assert bench.lab.ledger.experiment(id).checkpoints["fit"].outputs.keys() == {"descent.json"}


def test_a_checkpoint_goes_when_the_record_names_the_next_and_the_last_when_the_phase_has_ended(bench: Bench) -> None:
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    first, second = kept(bench, id), kept(bench, id)
    assert (bench.store.has(first), bench.store.has(second)) == (False, True)
    bench.worker.interrupt("spot notice")
    bench.step_until(lambda: bench.worker.idle)
    bench.lab.reserve(id)
    bench.step_until(lambda: len(bench.runner.started) == 2)
    assert bench.store.has(second), "the record names it until there is another"
    bench.workspaces[-1].step = 45
    third = kept(bench, id)
    assert (bench.store.has(second), bench.store.has(third)) == (False, True)
    bench.runner.finish()
    bench.run_phase("score")
    assert bench.outcome(id).verdict == "success"
    assert not bench.store.has(third)
    assert all(map(bench.store.has, bench.lab.ledger.experiment(id).checkpoints["fit"].outputs.values()))


def test_a_checkpoint_whose_record_was_not_confirmed_takes_no_other_with_it(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger may name either of them."""
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    first, checkpointed = kept(bench, id), bench.lab.ledger.checkpointed

    def lost(*arguments: Any, **named: Any) -> str:
        checkpointed(*arguments, **named)
        raise Unavailable("the reply was lost")
    monkeypatch.setattr(bench.lab.ledger, "checkpointed", lost)
    second = kept(bench, id)
    assert bench.store.has(first)
    assert bench.store.has(second)
    monkeypatch.undo()
    kept(bench, id)
    assert not bench.store.has(first)
    assert not bench.store.has(second)


def test_a_checkpoint_that_another_attempt_has_stored_since_stays(bench: Bench) -> None:
    """What this worker replaced may be what the next one, which its own removal overtakes, has just kept."""
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    first = kept(bench, id)
    later = bench.clock.now + 1000 * CHECKPOINT_S
    os.utime(bench.store.fetch(first), (later, later))
    kept(bench, id)
    assert bench.store.has(first)


def test_a_live_output_that_is_no_checkpoint_costs_a_checkpoint_and_is_told_once(
        bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    last = kept(bench, id)
    bench.workspaces[-1].step = 50
    assert [kept(bench, id), kept(bench, id)] == [last, last]
    assert capsys.readouterr().out.count("it has 2 bytes, and 1 is allowed") == 1
    bench.runner.finish()
    bench.run_phase("score")
    assert bench.outcome(id).verdict == "success"


def test_a_checkpoint_that_our_disk_has_no_room_for_costs_a_checkpoint_and_no_worker(
        bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    full = FolderWorkspace(tmp_path / "work", bench.store, id)
    for folder in ("fit", "live"):
        (tmp_path / "work" / folder).mkdir(parents=True)
    (tmp_path / "work" / "fit" / "descent.json").write_bytes(b"step 41")
    (tmp_path / "work" / "live" / "fit").symlink_to("/dev/full")
    monkeypatch.setattr(bench.workspaces[-1], "keep_live", full.keep_live)
    bench.runner.live = True
    bench.clock.now += CHECKPOINT_S
    bench.worker.step()
    assert "fit" not in bench.lab.ledger.experiment(id).checkpoints
    bench.runner.finish()
    bench.run_phase("score")
    assert bench.outcome(id).verdict == "success"


def test_a_checkpoint_that_cannot_be_removed_holds_nothing_up_and_goes_at_the_next_look(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    first = kept(bench, id)

    def refused(hash: str, before: float) -> bool:
        raise Unavailable("it may not be removed")
    monkeypatch.setattr(bench.store, "retire", refused)
    second = kept(bench, id)
    assert bench.store.has(first)
    monkeypatch.undo()
    third = kept(bench, id)
    assert (bench.store.has(first), bench.store.has(second)) == (False, False)
    monkeypatch.setattr(bench.store, "retire", refused)
    bench.runner.finish()
    bench.run_phase("score")
    assert bench.outcome(id).verdict == "success"
    assert bench.store.has(third)


def kept(bench: Bench, id: str) -> str:
    """The checkpoint that the record names after the next look, stored at that moment of the test's clock."""
    bench.runner.live = True
    bench.clock.now += CHECKPOINT_S
    for _ in range(3):
        bench.worker.step()
    hash = bench.lab.ledger.experiment(id).checkpoints["fit"].outputs["descent.json"]
    os.utime(bench.store.fetch(hash), (bench.clock.now, bench.clock.now))
    return hash
