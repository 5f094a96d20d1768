"""`aether gc`: says what would go, removes just that, and leaves everything that a result rests on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.backend import open_backend

Said = Callable[..., str]


def held() -> set[str]:
    return {hash for hash, _, _ in open_backend("local:lab").store.hashes()}


def swept(said: Said, *words: str) -> dict[str, Any]:
    return json.loads(said("gc", "--json", *words))  # type: ignore[no-any-return]


def test_a_dry_run_tells_and_touches_nothing(lab: Path, said: Said) -> None:
    stray = open_backend("local:lab").store.put_bytes(b"nobody names this")
    before = held()
    told = swept(said, "--dry-run", "--grace-h", "0")
    assert stray in [removal["hash"] for removal in told["removed"]]
    assert held() == before
    assert "would go" in said("gc", "--dry-run")


def test_scratch_goes_and_all_that_experiments_left_stays(lab: Path, said: Said) -> None:
    before = held()
    stray = open_backend("local:lab").store.put_bytes(b"nobody names this")
    scratch = lab / "lab" / "scratch" / "e00001.9"
    scratch.mkdir(parents=True)
    (scratch / "half").write_bytes(b"123")
    assert stray not in [removal["hash"] for removal in swept(said)["removed"]]  # it is young
    swept(said, "--grace-h", "0")
    assert stray not in held()
    named = {hash for experiment in open_backend("local:lab").ledger.all_experiments()
             for checkpoint in experiment.checkpoints.values() for hash in checkpoint.outputs.values()}
    assert named <= held() <= before
    assert not scratch.exists()


def test_a_quota_takes_what_nobody_needs_and_never_the_best_or_the_footage(lab: Path, said: Said,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.gc.LEADERS", 1)
    told = swept(said, "--grace-h", "0", "--quota-gb", "0")
    assert any(removal["retention"] == "cache" for removal in told["removed"]) or told["bytes"]["cache"] == 0
    best = json.loads(said("status", "--json"))["best"]["id"]
    experiment = open_backend("local:lab").ledger.experiment(best)
    needed = {hash for checkpoint in experiment.checkpoints.values() for hash in checkpoint.outputs.values()}
    assert needed | {experiment.spec.clips} <= held()
    assert said("reproduce", best)


def test_a_lab_is_well_after_a_sweep(lab: Path, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.pruning.RECENT_CHANGES", 0)
    assert swept(said, "--grace-h", "0")["answers"] > 50
    assert swept(said, "--grace-h", "0")["answers"] == 0
    assert json.loads(said("doctor", "--json"))["well"]
