"""The processes of a world: real workers and real daemons, each with a clock, files and a way to the backend of its
own, so that each can be killed, cut off or fooled alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.disk import ProcessFiles
from simulator.lines import Killed, Line, MessyQueue
from simulator.machine import MoodyProposer, SimReporter, SimRunner, SimRunning, SimWorkspace
from simulator.market import StreetMarket, machine

from gpu_workers.worker import Surroundings as WorkerSurroundings
from gpu_workers.worker import Worker, WorkerConfig
from lab.backend import Backend
from lab.errors import LabHeld, Unavailable
from lab.experiment import Experiment, Terms
from lab.ledger import Ledger
from lab.local.journal import Journal
from lab.local.mailbox import FileMailbox
from lab.settings import parse
from orchestrator.daemon import Daemon
from orchestrator.given import DaemonConfig, Surroundings
from orchestrator.planner import ClipSets
from support.curve.spec import TRACK

if TYPE_CHECKING:
    from simulator.world import World

JOURNAL = Path("/lab/journal.jsonl")
LEASE_S, BEAT_S, GRACE_S, PHASE_S = 60.0, 20.0, 15.0, 200.0
CLIPS = ClipSets("1" * 64, "2" * 64)


class ProcessClock:
    """Implements `lab.clock.Clock`: a monotonic clock that means nothing to others, a wall clock that jumps."""

    def __init__(self, world: World, offset: float) -> None:
        self._world, self._offset = world, offset

    def wall(self) -> float:
        return self._world.wall()

    def monotonic(self) -> float:
        return self._world.now + self._offset


class Process:
    """What every process has: `step()` gives the seconds until it wants to be called again."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.alive = world, name, True
        self.clock = ProcessClock(world, world.rng.uniform(0, 1e6))
        self.line = Line(world, name)
        self.files = ProcessFiles(world.disk, self._file_fault, lambda: world.saw("a torn line was cut off"))
        self.turn = 0  # which of its wake-up calls counts

    @property
    def over(self) -> bool:
        return False

    def step(self) -> float:
        raise NotImplementedError

    def end(self) -> None:
        """What the kernel does when it dies."""
        self.alive = False

    def backend(self) -> Backend:
        ledger = Ledger(self.line, self.clock, self.world.rng, pause=lambda seconds: None)
        queue = self.world.ground.queue(self.clock.wall, self.world.rng)
        queues = {"cpu": MessyQueue(self.world, self.line, queue)}
        return Backend(address="local:simulated", ledger=ledger, queues=queues,
                       store=self.world.ground.store(self.files, self.world.rng),
                       mailbox=NotedMailbox(self.world, FileMailbox(Path("/lab/outbox"), self.files)))

    def _file_fault(self, what: str) -> tuple[float, BaseException] | None:
        if self.world.strikes("killed_at_file"):
            return self.world.rng.random(), Killed(f"in the middle of a {what}")
        if self.world.strikes("disk_full"):
            return self.world.rng.random(), Unavailable("the disk is full")
        return None


class NotedMailbox:
    """The real outbox; the world remembers every delivery."""

    def __init__(self, world: World, mailbox: FileMailbox) -> None:
        self._world, self._mailbox = world, mailbox

    def deliver(self, report: Any) -> str:
        where = self._mailbox.deliver(report)
        self._world.deliveries.append((report.key, report.text))
        return where


class WorkerProcess(Process):
    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.phases: list[SimRunning] = []
        backend = self.backend()
        config = WorkerConfig(name=name, device_class="cpu:test", machine=machine(name) if world.rents else None,
                              terms=Terms(lease_s=LEASE_S, beat_s=BEAT_S, grace_s=GRACE_S, phase_s=PHASE_S))
        self.worker = Worker(config, WorkerSurroundings(
            backend=backend, runner=SimRunner(world, self), track=lambda name: TRACK, goals=lambda e: TRACK.goals,
            workspace=lambda experiment: self._workspace(backend, experiment), clock=self.clock))
        self.attempt = ("", 0)

    def step(self) -> float:
        return self.worker.step()

    def end(self) -> None:
        """Its phases die with it."""
        super().end()
        for phase in self.phases:
            phase.stop()

    def _workspace(self, backend: Backend, experiment: Experiment) -> SimWorkspace:
        self.attempt = (experiment.id, experiment.fence)
        return SimWorkspace(self.world, backend, experiment)


class DaemonProcess(Process):
    """`patient` waits for another's lease to run out; else the second daemon is refused."""

    def __init__(self, world: World, name: str, *, patient: bool, proof: tuple[int, int] | None = None) -> None:
        super().__init__(world, name)
        backend = self.backend()
        self.journal = Journal(JOURNAL, self.files) if world.locks else None
        self.daemon = Daemon(
            DaemonConfig(holder=name, host="simulated", pid=1, study_seed=world.seed, wait=patient, observed=proof,
                         tick_s=world.plan.tick_s, asking_s=world.plan.asking_s),
            world.settings(), Surroundings(
                backend=backend, track=TRACK, proposer=MoodyProposer(world), reporter=SimReporter(world, backend),
                clips=CLIPS, clock=self.clock, parse=parse, journal=self.journal,
                market=StreetMarket(world) if world.rents else None))

    @property
    def over(self) -> bool:
        return self.daemon.over

    def step(self) -> float:
        try:
            delay = self.daemon.step()
        except LabHeld:
            self.world.saw("a second daemon was refused")
            raise Killed("the lab is held") from None
        if self.daemon.lost:
            self.world.saw("a stale epoch was refused")
        return delay
