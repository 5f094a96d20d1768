"""A worker on a test's bench: a real ledger, queue and store; phases and time are the test's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpu_workers.collect import NotCollected
from gpu_workers.phase import PhaseRequest
from gpu_workers.runner import PhaseEnd
from gpu_workers.worker import Surroundings, Worker, WorkerConfig
from lab.aws.requests import Requests
from lab.backend import Backend
from lab.experiment import Experiment, Machine, Outcome, Reason, Scores, Terms
from lab.local.mailbox import FileMailbox
from lab.local.queue import SqliteQueue
from lab.local.store import FileStore
from lab.local.table import SqliteTable
from lab.track import Goal, Objective, Phase, Track
from support.laboratory import Laboratory

LEASE_S, GRACE_S, BEAT_S = 60.0, 15.0, 5.0
CHECKPOINT_S = 30.0
PHASES = (Phase(name="fit", entry="m:fit", outputs=("model",), live="descent.json"),
          Phase(name="score", entry="m:score", inputs=("fit/model",), outputs=("scores.json",), trusted=True))
GOALS = (Goal(metric="loss", relation="<=", value=1.0),)


class Time:
    now = 1000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class FakeRunner:
    """Phases that end when the test says so."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.end: PhaseEnd | None = None
        self.killed = 0
        self.waited_s = 0.0
        self.limits = (0.0, 0)
        self.live = False
        self.resumed: list[str] = []

    def start(self, request: PhaseRequest, limit_s: float, memory_mb: int) -> FakeRunner:
        self.started.append(request.entry.partition(":")[2])
        self.waited_s, self.limits = 0.0, (limit_s, memory_mb)
        self.resumed += [request.inputs["resume"]] if "resume" in request.inputs else []
        self.end = None
        return self

    def poll(self) -> PhaseEnd | None:
        return self.end

    def progress(self) -> list[dict[str, Any]]:
        return [{"step": 1}]

    def fetch_live(self, name: str) -> bool:
        fresh, self.live = self.live, False
        return fresh

    def kill(self) -> None:
        self.killed += 1
        self.finish("crash", "stopped by the worker")

    def finish(self, reason: Reason | None = None, detail: str = "", log: str = "said something") -> None:
        self.end = PhaseEnd(reason=reason, detail=detail, seconds=2.0, waited_s=self.waited_s, cpu_s=1.0,
                            peak_mb=10.0, log=log)


class FakeWorkspace:
    """Leaves what the test wants each phase to leave."""

    def __init__(self, store: FileStore, left: dict[str, dict[str, bytes]]) -> None:
        self._store, self._left = store, left
        self.cleaned = False
        self.step = 40

    def request(self, experiment: Experiment, phase: Phase, terms: Terms) -> PhaseRequest:
        last = experiment.checkpoints.get(phase.name)
        live = last.outputs.get(phase.live) if last and not last.done else None
        return PhaseRequest(entry=phase.entry, spec=experiment.spec, out="/nowhere",
                            inputs={"resume": self._store.read(live).decode()} if live else {})

    def keep(self, phase: Phase) -> dict[str, str]:
        if phase.name not in self._left:
            raise NotCollected(f"{phase.name} left nothing")
        return {name: self._store.put_bytes(data) for name, data in self._left[phase.name].items()}

    def keep_live(self, phase: Phase) -> dict[str, str]:
        self.step += 1
        if self.step > 50:
            raise NotCollected("it has 2 bytes, and 1 is allowed")
        return {phase.live: self._store.put_bytes(f"step {self.step}".encode())}

    def clean(self) -> None:
        self.cleaned = True


class Bench:
    """A worker, the lab that it works for, and the hands of a test."""

    def __init__(self, folder: Path, phases: tuple[Phase, ...] = PHASES, machine: Machine | None = None,
                 requests: Requests | None = None) -> None:
        self._phases, self._machine = phases, machine
        self.clock, self.runner = Time(), FakeRunner()
        table = SqliteTable(":memory:")
        self.lab = Laboratory(table, clock=self.clock)
        self.store = FileStore(folder)
        self.queue = SqliteQueue(table, "cpu", self.clock.wall)
        self.left = {"fit": {"model": b"weights"}, "score": {"scores.json": scores(0.5)}}
        self.workspaces: list[FakeWorkspace] = []
        backend = Backend(address="local:test", ledger=self.lab.ledger, queues={"cpu": self.queue}, store=self.store,
                          mailbox=FileMailbox(folder), requests=requests)
        self.worker = self.another("w1", backend)

    def another(self, name: str, backend: Backend) -> Worker:
        config = WorkerConfig(name=name, device_class="cpu:test:2", machine=self._machine,
                              terms=Terms(lease_s=LEASE_S, grace_s=GRACE_S, beat_s=BEAT_S))
        self.backend = backend
        return Worker(config, Surroundings(backend=backend, runner=self.runner, workspace=self.workspace,
                                           track=lambda name: track(self._phases), goals=lambda e: GOALS,
                                           clock=self.clock))

    def workspace(self, experiment: Experiment) -> FakeWorkspace:
        self.workspaces.append(FakeWorkspace(self.store, self.left))
        return self.workspaces[-1]

    def send(self) -> str:
        id = self.lab.ready()
        self.queue.send(id)
        return id

    def step_until(self, reached: Callable[[], bool], steps: int = 30) -> None:
        for _ in range(steps):
            if reached():
                return
            self.worker.step()
        pytest.fail("the worker never got there")

    def run_phase(self, name: str, **how: Any) -> None:
        self.step_until(lambda: name in self.runner.started)
        self.runner.finish(**how)

    def outcome(self, id: str) -> Outcome:
        self.step_until(lambda: self.lab.ledger.experiment(id).state == "finished")
        outcome = self.lab.ledger.experiment(id).outcome
        assert outcome is not None
        return outcome


def scores(loss: float) -> bytes:
    return msgspec.json.encode(Scores(mean={"loss": loss}, clips={}))


def track(phases: tuple[Phase, ...] = PHASES) -> Track:
    return Track(name="curve", protocol=1, families=(), metrics=(), goals=GOALS, anchors=(), phases=lambda spec: phases,
                 objectives=(Objective(metric="loss", direction="min", reference=1.0),),
                 derive=lambda own, anchors: own, facts=lambda path: {}, not_applicable=lambda spec: frozenset(),
                 explain=lambda own: "")
