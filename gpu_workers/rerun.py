"""Running an experiment again, here and now, by the worker itself, in a laboratory that is gone afterwards.

Ledger and queue are in memory and what the phases leave goes into a folder of its own; of the real laboratory only the
store is read. So a repetition runs exactly what a worker runs, and leaves no trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gpu_workers.device import device_class
from gpu_workers.main import config, current_settings, goals_for
from gpu_workers.sandbox.canary import runner_here, sandbox_here
from gpu_workers.worker import Surroundings, Worker
from gpu_workers.workspace import FolderWorkspace
from lab.backend import Backend, Store
from lab.clock import SystemClock
from lab.errors import AetherError
from lab.experiment import Experiment
from lab.local.backend import assemble
from lab.local.table import SqliteTable
from lab.model import model_of
from lab.track import load_track

Told = Callable[[str, Mapping[str, Any]], None]  # the phase that runs, and what it claims of its progress
BUDGET, PRICE_MICROUSD = "rerun", 1


class Overlay:
    """Implements `lab.backend.Store`: reads what is in `base`, and writes into `own` alone."""

    def __init__(self, base: Store, own: Store) -> None:
        self._base, self._own = base, own

    def put(self, path: Path) -> str:
        return self._own.put(path)

    def put_bytes(self, data: bytes) -> str:
        return self._own.put_bytes(data)

    def fetch(self, hash: str) -> Path:
        return self._of(hash).fetch(hash)

    def read(self, hash: str) -> bytes:
        return self._of(hash).read(hash)

    def has(self, hash: str) -> bool:
        return self._of(hash).has(hash)

    def pointer(self, name: str) -> str | None:
        return self._own.pointer(name)

    def swap(self, name: str, expected: str | None, new: str) -> None:
        self._own.swap(name, expected, new)

    def hashes(self) -> Iterable[tuple[str, int, float]]:
        return self._own.hashes()

    def remove(self, hash: str) -> None:
        self._own.remove(hash)

    def retire(self, hash: str, before: float) -> bool:
        return self._own.retire(hash, before)

    def _of(self, hash: str) -> Store:
        return self._own if self._own.has(hash) else self._base


def kept_training(lab: Backend, experiment: Experiment) -> Experiment:
    """The experiment with its weights as they are, for one that was trained by the clock: another run of so many
    seconds takes other steps. It may then run on any device. Others come back unchanged."""
    spec = experiment.spec
    model = model_of(experiment, load_track(spec.track), lab.store)
    if model is None or spec.limit is None or spec.limit.seconds is None:
        return msgspec.structs.replace(experiment, checkpoints={})
    phase = load_track(spec.track).model.partition("/")[0]
    here = msgspec.structs.replace(spec.limit, device_class=device_class())
    return msgspec.structs.replace(experiment, checkpoints={phase: experiment.checkpoints[phase]},
                                   spec=msgspec.structs.replace(spec, limit=here))


def rerun(lab: Backend, experiment: Experiment, folder: Path, told: Told = lambda phase, claims: None) -> Experiment:
    """The same specification, run anew below `folder`; gives how it ended. What its checkpoints say is done is taken as
    it is. Raises AetherError where our own harness failed it, so that there is nothing to compare."""
    folder = folder.resolve()  # phases run elsewhere, and are told where their files lie
    memory = assemble(SqliteTable(":memory:"), folder, SystemClock())
    memory = msgspec.structs.replace(memory, store=Overlay(lab.store, memory.store))
    _queue(memory, experiment)
    worker = Worker(config(current_settings(lab), "rerun", [experiment.spec.job_class]), Surroundings(
        backend=memory, runner=runner_here(), sandboxed=sandbox_here().works, track=load_track,
        goals=lambda _: goals_for(lab, experiment), clock=SystemClock(),
        workspace=lambda attempt: FolderWorkspace(folder / "scratch", memory.store, attempt.id)))
    try:
        while (now := memory.ledger.experiment(experiment.id)).state != "finished":
            time.sleep(worker.step())
            beat = memory.ledger.beat_of(now.id, now.fence)
            told(beat.phase if beat else "", beat.progress if beat else {})
    finally:
        worker.interrupt("stopped")
        worker.step()
    if now.outcome is not None and now.outcome.reason == "harness_fault":
        raise AetherError(f"{now.id} could not be run again: {now.outcome.detail}")
    return now


def _queue(memory: Backend, experiment: Experiment) -> None:
    """All that a daemon does up to the moment when a worker takes it."""
    ledger, id = memory.ledger, experiment.id
    fresh = Experiment(id=id, spec=experiment.spec, fingerprint=experiment.fingerprint, purpose=experiment.purpose,
                       designer=experiment.designer, group=experiment.group, settings=experiment.settings,
                       checkpoints=experiment.checkpoints)
    epoch = ledger.office.take_lease("rerun", host="", pid=0, observed=None, op_id="lease")
    ledger.accounts.set_cap(BUDGET, PRICE_MICROUSD, op_id="cap")
    ledger.propose(fresh, epoch=epoch, op_id="propose")
    ledger.approve(id, epoch=epoch, op_id="approve")
    ledger.reserve(id, PRICE_MICROUSD, (BUDGET,), price_usd_h=1.0, epoch=epoch, op_id="reserve")
    memory.queues[experiment.spec.job_class].send(id)
