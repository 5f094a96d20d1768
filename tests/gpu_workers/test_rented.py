"""What an attempt of a rented machine keeps of it, so that its price can be known."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from gpu_workers import main
from gpu_workers.main import rented, serve
from lab.backend import open_backend
from lab.errors import Unavailable
from lab.experiment import Machine
from support.laboratory import Laboratory, experiment, spec
from support.metadata import metadata


@pytest.mark.parametrize("rented", [True, False])
def test_an_attempt_names_the_machine_that_its_worker_rented(
        rented: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = open_backend(f"local:{tmp_path / 'lab'}", create=True)
    id = Laboratory(backend.ledger.table).ready(experiment("e0001", replace(spec(), track="codec")))
    backend.queues["cpu"].send(id)
    with metadata("i-1") as service:
        if rented:
            monkeypatch.setenv("AETHER_IMDS", service.address)
        serve(backend.address, keep_going=lambda: not backend.ledger.experiment(id).attempts)
    (attempt,) = backend.ledger.experiment(id).attempts
    assert attempt.machine == (Machine(id="i-1", type="g5.xlarge", zone="us-east-1b", spot=True) if rented else None)


def test_a_lab_on_an_account_has_no_worker_that_does_not_know_its_machine(
        monkeypatch: pytest.MonkeyPatch) -> None:
    with metadata("i-1") as service:
        monkeypatch.setenv("AETHER_IMDS", service.address)
        service.busy = 2
        with monkeypatch.context() as hasty:
            hasty.setattr(main, "ASK_S", 0.0)
            with pytest.raises(Unavailable):
                rented(on_account=True)
        assert rented(on_account=False) is None  # a lab of one's own has prices of its own
        service.busy = 2
        machine = rented(on_account=True)
    assert machine is not None
    assert machine.id == "i-1"
