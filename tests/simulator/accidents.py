"""What happens to a world from outside: processes are killed or told to go, power is cut, machines sleep, clocks jump,
and others come in the middle of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.staff import LEASE_S, WorkerProcess

if TYPE_CHECKING:
    from simulator.world import World

HOUR_S = 3600.0
TERMS_S = 200.0  # mean seconds between two changes of the lease time


class Accidents:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._inside = False  # an interleaved step

    def let_happen(self) -> None:
        """From now on, each at its own rhythm."""
        world, rhythm = self._world, self._world.rhythm
        for mean, what in ((rhythm.worker_killed, self._kill_worker), (rhythm.worker_noticed, self._notice_worker),
                           (rhythm.daemon_killed, self._kill_daemon), (rhythm.power_cut, self._cut_power),
                           (rhythm.suspended, self._suspend), (rhythm.clock_jumps, self._jump_clock),
                           (rhythm.cut_off, self._cut_off), (rhythm.person, world.person.act),
                           (TERMS_S, world.person.change_terms),
                           (rhythm.meddler, world.meddler.act), (rhythm.rival, world.crew.rival),
                           (rhythm.daemon_told, self._tell_daemon)):
            if mean < float("inf"):
                self._every(mean, what)

    def interleave(self, owner: str) -> bool:
        """Between a decision's reads and its commit others act; whether the process still lives then."""
        world = self._world
        if self._inside or owner == "meddler":
            return True
        self._inside = True
        try:
            if world.strikes("interleaved"):
                self._another_acts(owner)
            process = next((p for p in world.crew.daemons if p.name == owner), None)
            if process is not None and world.strikes("stalled"):
                until, epoch = world.now + world.rng.uniform(1, 4 * LEASE_S), world.checker.epoch
                while world.now < until and world.checker.epoch == epoch:  # the worst moment is just after a takeover
                    world.next()
                if world.checker.epoch != epoch:
                    world.saw("a takeover in the middle of a call")
                return process.alive
        finally:
            self._inside = False
        return True

    def dies(self, worker: WorkerProcess) -> None:
        if worker.alive:
            self._struck("deadly")
            self._world.note(f"{worker.name} is taken down by what it runs")
            self._world.crew.end(worker)

    def _another_acts(self, owner: str) -> None:
        others = [p for p in self._world.crew if p.name != owner]
        if not others or self._world.rng.random() < 0.2:
            self._world.guarded("person", self._world.person.act)
        else:
            self._world.crew.step(self._world.rng.choice(others))

    def _every(self, mean: float, what: Callable[[], None]) -> None:
        world = self._world

        def happen() -> None:
            if not world.calm:
                world.note(what.__name__)
                world.guarded(what.__name__, what)
                self._every(mean, what)
        world.at(world.now + world.rng.expovariate(1 / mean), happen)

    def _struck(self, what: str) -> None:
        self._world.faults[what] += 1

    def _kill_worker(self) -> None:
        if self._world.crew.workers:
            self._struck("worker killed")
            self._world.crew.end(self._world.rng.choice(self._world.crew.workers))

    def _notice_worker(self) -> None:
        if self._world.crew.workers:
            self._struck("worker noticed")
            self._world.rng.choice(self._world.crew.workers).worker.interrupt("the machine is taken back")

    def _kill_daemon(self) -> None:
        if self._world.crew.daemons:
            self._struck("daemon killed")
            self._world.crew.end(self._world.rng.choice(self._world.crew.daemons))

    def _tell_daemon(self) -> None:
        if self._world.crew.daemons:
            self._struck("daemon told to go")
            self._world.rng.choice(self._world.crew.daemons).daemon.hand_over()

    def _cut_power(self) -> None:
        """One machine: all its processes die, and files that were not synced are torn."""
        if self._world.locks:
            self._struck("power cut")
            for process in self._world.crew.members:
                self._world.crew.end(process)
            self._world.sometimes["a file was torn"] += self._world.disk.power_cut()

    def _suspend(self) -> None:
        self._struck("suspended")
        self._world.sleep(self._world.rng.uniform(10, 400))

    def _jump_clock(self) -> None:
        self._struck("clock jumped")
        if self._world.phases:
            self._world.saw("a clock jumped while work ran")
        self._world.jump(self._world.rng.choice((-HOUR_S, HOUR_S, self._world.rng.uniform(-HOUR_S, HOUR_S))))

    def _cut_off(self) -> None:
        if crew := self._world.crew.members:
            self._struck("cut off")
            self._world.rng.choice(crew).line.cut_until = self._world.now + self._world.rng.expovariate(1 / 80)
