"""The processes of a world from their start to their end: each is called when its time has come, and the supervisor
starts another in the place of what died."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from simulator.lines import Killed
from simulator.staff import DaemonProcess, Process, WorkerProcess

from lab.control import Beat

if TYPE_CHECKING:
    from simulator.world import World


class Crew:
    """See the module. Iterates over those that live."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._members: list[Process] = []
        self._names = self._asked = 0

    def __iter__(self) -> Iterator[Process]:
        return iter(self._members)

    @property
    def members(self) -> list[Process]:
        return list(self._members)

    @property
    def daemons(self) -> list[DaemonProcess]:
        return [p for p in self._members if isinstance(p, DaemonProcess)]

    @property
    def workers(self) -> list[WorkerProcess]:
        return [p for p in self._members if isinstance(p, WorkerProcess)]

    @property
    def spent_s(self) -> float:
        """What the requests of this step have taken so far."""
        return self._world.plan.request_s * (self._world.ground.requests - self._asked)

    def hire(self) -> None:
        for _ in range(self._world.plan.workers):
            self._start_worker()
        self._start_daemon()

    def rival(self) -> None:
        """A second daemon: refused where one machine shows that the first lives, else it waits for silence."""
        if len(self.daemons) < 2:
            self._employ(DaemonProcess(self._world, self._name("d"), patient=not self._world.locks))

    def step(self, process: Process) -> None:
        world = self._world
        self._asked = world.ground.requests
        try:
            delay = process.step()
        except Killed as killed:
            world.note(f"{process.name} was killed {killed}")
            self.end(process)
            return
        if process.over:
            self.end(process)
            return
        if delay > 0:
            grain_s = world.plan.look_s if isinstance(process, WorkerProcess) else world.plan.grain_s
            delay = max(delay, grain_s) * world.rng.uniform(1.0, 1.1)
        delay += self.spent_s
        if world.strikes("step_late"):
            delay += world.rng.uniform(0, 5.0 if isinstance(process, WorkerProcess) else 50.0)
        self._wake(process, delay + 0.01)

    def end(self, process: Process) -> None:
        world = self._world
        if not process.alive:  # it died while it stood still in the middle of a call
            return
        process.end()
        self._members.remove(process)
        if isinstance(process, WorkerProcess):
            world.at(world.now + world.rng.uniform(1, 60), self._start_worker)
        elif not self.daemons:
            world.at(world.now + world.rng.uniform(1, 60), self._supervise)
        if isinstance(process, DaemonProcess) and process.daemon.left and not process.daemon.handed_over:
            world.think_again(process.daemon.why)

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}{self._names}"

    def _start_worker(self) -> None:
        self._employ(WorkerProcess(self._world, self._name("w")))

    def _supervise(self) -> None:
        if not self.daemons:
            self._start_daemon()

    def _start_daemon(self) -> None:
        """The supervisor's: with proof of the last one's death where one machine can have it, else patiently."""
        world, lease = self._world, self._world.checker.lease
        if world.checker.all_ended():
            return
        dead = lease is not None and not any(p.name == lease.holder for p in self._members)
        proof = (lease.epoch, self._last_beat(lease.epoch)) if world.locks and dead and lease is not None else None
        self._employ(DaemonProcess(world, self._name("d"), patient=not world.locks, proof=proof))

    def _last_beat(self, epoch: int) -> int:
        record = self._world.ground.seen.get("beat", f"daemon.{epoch}")
        return msgspec.json.decode(record.body, type=Beat).n if record else 0

    def _employ(self, process: Process) -> None:
        self._world.note(f"{process.name} starts")
        self._members.append(process)
        self._wake(process, self._world.rng.uniform(0, 2.0))

    def _wake(self, process: Process, delay: float) -> None:
        process.turn += 1
        turn = process.turn

        def call() -> None:
            if process.alive and process.turn == turn:
                self.step(process)
        self._world.at(self._world.now + delay, call)
