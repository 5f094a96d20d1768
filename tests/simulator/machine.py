"""What real machines do for the daemon and the worker, without the time: phases that end when the world says so, a
reporter, and a designer that sometimes talks nonsense."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from simulator.invariants import Broken
from simulator.lines import Killed

from gpu_workers.collect import NotCollected
from gpu_workers.phase import PhaseRequest
from gpu_workers.runner import PhaseEnd
from gpu_workers.workspace import RESUME
from lab.backend import Backend
from lab.control import Report
from lab.errors import Refused, Unavailable
from lab.experiment import Experiment, Reason, Terms
from lab.track import Phase
from orchestrator.designers.protocol import Proposal
from orchestrator.proposer import Answer, Ask, InlineProposer

if TYPE_CHECKING:
    from simulator.staff import WorkerProcess
    from simulator.world import World

LONGEST_S = 150.0  # of a phase that does not hang; its limit is above
WAITING = 0.05  # the share of phases that wait for the machine


class SimRunning:
    """Implements `gpu_workers.runner.Running` on the world's time."""

    def __init__(self, world: World, attempt: tuple[str, int], seconds: float, limit_s: float,
                 reason: Reason | None, wait_s: float) -> None:
        self._world, self.attempt, self._reason, self._wait_s = world, attempt, reason, wait_s
        self._started, self._limit_s, self._seconds = world.awake, limit_s, seconds
        world.phases.append(self)

    @property
    def waited_s(self) -> float:
        return min(self._world.awake - self._started, self._wait_s)

    def poll(self) -> PhaseEnd | None:
        spent = self._world.awake - self._started - self.waited_s
        if spent < min(self._seconds, self._limit_s):
            return None
        self.stop()
        if self._seconds > self._limit_s:
            return self._ended("timeout", f"still running after {self._limit_s:g} s", self._limit_s)
        return self._ended(self._reason, "it broke" if self._reason else "", self._seconds)

    def progress(self) -> list[dict[str, Any]]:
        return []

    def fetch_live(self, name: str) -> bool:
        self._world.live[self.attempt] = self._world.awake - self._started
        return True

    def kill(self) -> None:
        self.stop()

    def stop(self) -> None:
        if self in self._world.phases:
            self._world.phases.remove(self)

    def _ended(self, reason: Reason | None, detail: str, seconds: float) -> PhaseEnd:
        return PhaseEnd(reason=reason, detail=detail, seconds=seconds, waited_s=self.waited_s, cpu_s=seconds,
                        peak_mb=50.0, log="")


class SimRunner:
    """Implements `gpu_workers.runner.Runner` for one worker."""

    def __init__(self, world: World, worker: WorkerProcess) -> None:
        self._world, self._worker = world, worker

    def start(self, request: PhaseRequest, limit_s: float, memory_mb: int) -> SimRunning:
        world, attempt = self._world, self._worker.attempt
        phase = request.entry.partition(":")[2]
        if phase == "score" and attempt[1] > 1:
            world.saw_once(("resumed", attempt), "a checkpoint was resumed", (attempt[0], "fit", attempt[1]))
        world.note(f"phase {phase} of {attempt[0]}.{attempt[1]} starts")
        world.started[(attempt[0], phase)] = attempt[1]
        seconds = 1e9 if world.strikes("phase_hang") else min(world.rng.expovariate(1 / 30), LONGEST_S)
        if RESUME in request.inputs:
            world.saw("a phase went on from its live checkpoint")
            seconds = max(seconds - float(request.inputs[RESUME]), 1.0)
        reason = world.rng.choice(("crash", "memory", "diverged")) if world.strikes("phase_crash") else None
        if self._takes_its_worker_down(request):
            world.at(world.now + world.rng.uniform(0, min(seconds, 100.0)), lambda: world.accidents.dies(self._worker))
        self._worker.phases.append(SimRunning(world, attempt, seconds, limit_s, reason, self._wait_s(limit_s)))
        return self._worker.phases[-1]

    def _wait_s(self, limit_s: float) -> float:
        """For the machine, which now and then another has to itself."""
        if self._world.rng.random() > WAITING:
            return 0.0
        self._world.saw("a phase waited for the machine")
        return self._world.rng.uniform(0, limit_s)

    def _takes_its_worker_down(self, request: PhaseRequest) -> bool:
        return Random(f"deadly {request.spec.fingerprint()}").random() < self._world.weather.deadly


class SimWorkspace:
    """Implements `gpu_workers.workspace.Workspace`: inputs are read from the store and verified, outputs kept in it."""

    def __init__(self, world: World, backend: Backend, experiment: Experiment) -> None:
        self._world, self._store, self._experiment = world, backend.store, experiment

    def request(self, experiment: Experiment, phase: Phase, terms: Terms) -> PhaseRequest:
        for name in phase.inputs:
            earlier, _, output = name.partition("/")
            if output:
                self._store.read(experiment.checkpoints[earlier].outputs[output])
        last = experiment.checkpoints.get(phase.name)
        live = last.outputs.get(phase.live) if last and phase.live and not last.done else None
        return PhaseRequest(entry=phase.entry, spec=experiment.spec, out=str(Path("/scratch") / phase.name),
                            inputs={RESUME: self._resumed(live)} if live else {})

    def keep(self, phase: Phase) -> dict[str, str]:
        if self._world.strikes("nothing_left"):
            raise NotCollected(f"{phase.name} left nothing")
        return {name: self._store.put_bytes(self._output(name)) for name in phase.outputs}

    def keep_live(self, phase: Phase) -> dict[str, str]:
        done_s = self._world.live[(self._experiment.id, self._experiment.fence)]
        return {phase.live: self._store.put_bytes(f"{self._experiment.id} {done_s:.3f}".encode())}

    def clean(self) -> None:
        pass

    def _resumed(self, live: str) -> str:
        """What the record names can be had, whoever removes what."""
        if not self._store.has(live):
            raise Broken(4, f"the last checkpoint of {self._experiment.id} is gone")
        return self._store.read(live).decode().split()[1]

    def _output(self, name: str) -> bytes:
        print_ = self._experiment.fingerprint
        if name != "scores.json":
            return f"{name} of {print_}".encode()
        if self._world.strikes("bad_scores"):
            bad = (b"{", b'{"mean": {"fit_db": 1e999}, "clips": {}}', b'{"mean": {"fit_db": "high"}, "clips": {}}', b"")
            return self._world.rng.choice(bad)
        return scores(print_)


def scores(fingerprint: str) -> bytes:
    """What this specification measures, wherever and however often it runs."""
    rng = Random(fingerprint)
    fit_db = None if rng.random() < 0.1 else rng.gauss(8, 6)
    mean = {"coefficients": rng.uniform(1, 16), "fit_db": fit_db, "fit_ms": 1.0}
    return msgspec.json.encode({"mean": mean, "clips": {"a": mean}, "why": {"fit_db": "the points are all alike"}})


class SimReporter:
    """Implements `orchestrator.post.Reporter`: posts after a while, from a process that may die before or after."""

    def __init__(self, world: World, backend: Backend) -> None:
        self._world, self._backend = world, backend
        self._composing = 0

    @property
    def busy(self) -> bool:
        return self._composing > 0

    def start(self, key: str, why: str) -> None:
        self._composing += 1
        self._world.later(lambda: self._post(key, why), 20.0)

    def _post(self, key: str, why: str) -> None:
        self._composing -= 1
        if self._world.strikes("reporter_dies"):
            self._world.note("the reporter died")
            return
        report = Report(key=key, subject="lab", text=f"{why}, composed at {self._world.now:.3f}")
        try:
            self._backend.ledger.office.post_report(report, op_id=f"report.{key}")
        except (Unavailable, Killed) as error:
            self._world.note(f"the reporter failed: {error}")
        except Refused:
            self._world.saw("a report's key was refused")


class MoodyProposer:
    """Implements `orchestrator.proposer.Proposer`: control's answers, now and then spoiled as a model would."""

    def __init__(self, world: World) -> None:
        self._world, self._inner = world, InlineProposer()
        self._ready_at = 0.0

    @property
    def busy(self) -> bool:
        return self._inner.busy

    def ask(self, ask: Ask) -> None:
        self._inner.ask(ask)
        self._ready_at = self._world.now + self._world.rng.choice(self._world.plan.thinking_s)

    def poll(self) -> Answer | None:
        if self._world.now < self._ready_at:
            return None
        answer = self._inner.poll()
        if answer is None or not self._world.strikes("garbage_proposal"):
            return answer
        return self._spoiled(answer)

    def close(self) -> None:
        self._inner.close()

    def _spoiled(self, answer: Answer) -> Answer:
        world, good = self._world, answer.proposals[0] if answer.proposals else None
        if good is None:
            return answer
        point = world.rng.choice(list(world.checker.points.values())) if world.checker.points else good.params
        twin = next((f for f in ("polynomial", "descent") if ("ridge" in point) == (f == "polynomial")), "polynomial")
        spoiled = world.rng.choice((
            None, Proposal(family="nonsense", params={}), Proposal(family=good.family, params={"degree": "many"}),
            Proposal(family=good.family, params={**good.params, "degree": -7}),
            Proposal(family=good.family, params=good.params, parents=("e99999",)),
            Proposal(family=good.family, params={"x": float("nan")}), Proposal(family=twin, params=dict(point)),
            Proposal(family=good.family, params=good.params, prediction={"fit_db": float("inf")},
                     hypothesis="\ud7ff ]]> '; DROP TABLE records; --")))
        world.saw("garbage from a designer")
        if spoiled is None:
            return Answer(id=answer.id, designer=answer.designer, error="ValueError: I am a teapot")
        return Answer(id=answer.id, designer=answer.designer, proposals=(spoiled,))
