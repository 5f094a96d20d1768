"""`aether reproduce`: the same specification gives the same numbers, or the command says which do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from gpu_workers.rerun import rerun
from lab.backend import Backend, open_backend
from lab.experiment import Experiment, Outcome
from lab.local.salvage import Rows
from lab.table import Record

Said = Callable[..., str]


def measured(lab: Backend) -> Experiment:
    return next(e for e in lab.ledger.all_experiments("finished") if e.outcome and e.outcome.scores)


def overwrite(lab: Backend, experiment: Experiment) -> None:
    record = lab.ledger.table.get("experiment", experiment.id)
    assert record is not None
    lab.ledger.table.restore(Record("experiment", experiment.id, record.version,  # type: ignore[attr-defined]
                                    msgspec.json.encode(experiment), record.tag))


def test_an_experiment_run_again_gives_the_same_numbers_and_leaves_no_trace(lab: Path, said: Said) -> None:
    experiment = measured(open_backend("local:lab"))
    before = {(r.kind, r.id): r.version for r in Rows(lab / "lab" / "ledger.db")}
    files = set((lab / "lab" / "store").rglob("*"))
    told = json.loads(said("reproduce", experiment.id, "--json"))
    assert told["same"]
    assert {pair["metric"] for pair in told["metrics"] if pair["equal"]} == {"coefficients", "fit_db"}
    assert {pair["metric"] for pair in told["metrics"] if pair["equal"] is None} == {"fit_ms"}
    assert {(r.kind, r.id): r.version for r in Rows(lab / "lab" / "ledger.db")} == before
    assert set((lab / "lab" / "store").rglob("*")) == files


def test_it_may_run_in_a_folder_that_is_told_from_where_one_stands(lab: Path) -> None:
    backend = open_backend("local:lab")
    experiment = measured(backend)
    outcome = rerun(backend, experiment, Path("again")).outcome
    assert outcome is not None
    assert outcome.scores is not None, outcome


def test_one_of_another_job_class_can_be_run_again_as_well(lab: Path) -> None:
    backend = open_backend("local:lab")
    experiment = measured(backend)
    spec = replace(experiment.spec, job_class="gpu")
    outcome = rerun(backend, replace(experiment, spec=spec, fingerprint=spec.fingerprint()), Path("again")).outcome
    assert outcome is not None
    assert outcome.scores is not None, outcome


def test_a_number_that_was_changed_is_found_on_its_clip(lab: Path, said: Said) -> None:
    backend = open_backend("local:lab")
    experiment = measured(backend)
    assert experiment.outcome is not None
    assert experiment.outcome.scores is not None
    scores = experiment.outcome.scores
    clips = {name: {**values, "fit_db": (values["fit_db"] or 0) + 1e-6} for name, values in scores.clips.items()}
    overwrite(backend, replace(experiment, outcome=replace(experiment.outcome, scores=replace(scores, clips=clips))))
    told = said("reproduce", experiment.id, code=1)
    assert "is not reproduced: 1 numbers differ" in told


def test_an_experiment_that_failed_must_not_succeed_now(lab: Path, said: Said) -> None:
    backend = open_backend("local:lab")
    experiment = measured(backend)
    overwrite(backend, replace(experiment, outcome=Outcome(verdict="failed", reason="crash")))
    assert "ended as failed: crash, and as measured now" in said("reproduce", experiment.id, code=1)


def test_what_has_no_result_cannot_be_reproduced(lab: Path, said: Said) -> None:
    backend = open_backend("local:lab")
    experiment = measured(backend)
    overwrite(backend, replace(experiment, spec=replace(experiment.spec, protocol=99)))
    assert "protocol 99" in said("reproduce", experiment.id, code=2)
    overwrite(backend, replace(experiment, state="running"))
    assert "is running" in said("reproduce", experiment.id, code=2)
    assert "no experiment" in said("reproduce", "e77777", code=2)


def test_missing_footage_is_our_fault_and_is_said(lab: Path, said: Said) -> None:
    backend = open_backend("local:lab")
    experiment = measured(backend)
    backend.store.remove(experiment.spec.clips)
    assert "could not be run again" in said("reproduce", experiment.id, code=1)
