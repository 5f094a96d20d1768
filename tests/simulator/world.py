"""A laboratory in virtual time: real daemons, workers, ledger, journal and store, on machines where everything fails.

One seed is one world: it draws the weather, the people and the accidents. Every event is written to a log, whose hash
is the same whenever the seed is; after each event the invariants are checked. When enough experiments were proposed
the faults stop, and everything must end.
"""

from __future__ import annotations

import hashlib
import heapq
import logging
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

import structlog
from simulator.disk import Disk
from simulator.ground import Ground, OneMachine
from simulator.invariants import FULL_EVERY, LOST_ATTEMPTS, Broken, Checker
from simulator.lines import Killed
from simulator.machine import SimRunning
from simulator.people import Meddler, Person
from simulator.staff import BEAT_S, GRACE_S, LEASE_S, PHASE_S, DaemonProcess, Process, WorkerProcess
from simulator.weather import CALM, Rhythm, Weather, drawn, rhythm

from lab.table import Write

HOUR_S = 3600.0
GRAIN_S = 5.0  # a process that asks to be called again soon is called this much later: nothing looks faster here
START = 1_795_996_800.0  # 2026-11-30T00:00 UTC, a day before a month ends
PATIENCE_S = 3 * HOUR_S  # of virtual time, for everything to end once the faults have stopped
TERMS_S = 200.0  # mean seconds between two changes of the lease time
TAIL = 400  # lines of the log that are kept to be read


class Plan(NamedTuple):
    """How large a world is, and what is not left to its seed."""

    workers: int = 4
    weather: Weather | None = None
    rhythm: Rhythm | None = None
    goal: bool | None = None
    budget_usd: float | None = None
    tick_s: float = 6.0  # of a daemon
    asking_s: float = float("inf")
    thinking_s: tuple[float, ...] = (0.0, 0.0, 0.0, 10.0)  # of a designer, one or the other
    grain_s: float = GRAIN_S  # of a daemon
    look_s: float = GRAIN_S  # of a worker
    request_s: float = 0.0  # what each request takes; zero is no time at all
    full_every: int = FULL_EVERY  # changes, between two looks at everything
    phases_every: int = 1  # events, between two looks at what runs


DRAWN = Plan()


class World:
    """`run()` raises Broken where an invariant does not hold; `digest` is the hash of the event log."""

    def __init__(self, seed: int, experiments: int = 200, ground: Ground | None = None, plan: Plan = DRAWN,
                 rents: bool = False) -> None:
        self.ground, self.plan, self.rents = ground or OneMachine(), plan, rents
        self.seed, self.wanted, self.rng = seed, experiments, Random(seed)
        self.now = self.asleep = 0.0
        self.faults: Counter[str] = Counter()
        self.sometimes: Counter[str] = Counter()
        self.tail: list[str] = []
        self._log = hashlib.sha256()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbered = self._names = 0
        self._once: set[Hashable] = set()
        self._wall_offset = self.rng.uniform(0, 24 * HOUR_S)
        self._inside = False  # an interleaved step
        self.locks = self.rng.random() < 0.5 and self.ground.may_lock  # SQLite's way; else DynamoDB's
        self.table, self.disk = self.ground.table, Disk(self.rng)
        weather, means = drawn(self.rng), rhythm(self.rng)
        goal, budget_usd = self.rng.random() < 0.2, self.rng.choice((0.5, 2.0, 500.0))
        self.weather, self.rhythm = plan.weather or weather, plan.rhythm or means
        self.goal = goal if plan.goal is None else plan.goal
        self.budget_usd = plan.budget_usd or budget_usd
        self.authors: dict[int, str] = {}  # change → who committed it
        self.phases: list[SimRunning] = []
        self.started: dict[tuple[str, str], int] = {}
        self.live: dict[tuple[str, int], float] = {}  # attempt → seconds of its phase that a checkpoint holds
        self.deliveries: list[tuple[str, str]] = []
        self.crew: list[Process] = []
        self.reactions_s: list[float] = []  # from a place that came free to its next message
        self._freed, self._sent = deque[float](), set[str]()
        self._asked = 0
        self.checker = Checker(self)
        self.person, self.meddler = Person(self), Meddler(self)
        self.calm = False

    # ------------------------------------------------------------------ what the others ask

    @property
    def awake(self) -> float:
        """Seconds in which the machines were not suspended."""
        return self.now - self.asleep

    def wall(self) -> float:
        wall = START + self._wall_offset + self.now
        self.ground.hold(wall)
        return wall

    def strikes(self, fault: str) -> bool:
        chance: float = getattr(self.weather, fault)
        if chance and self.rng.random() < chance:
            self.faults[fault] += 1
            self.note(fault)
            return True
        return False

    def saw(self, what: str) -> None:
        self.sometimes[what] += 1

    def saw_once(self, key: Hashable, what: str, proof: tuple[str, str, int]) -> None:
        """If the phase that `proof` names was run by an earlier attempt, and not by this one."""
        id, phase, fence = proof
        if key not in self._once and self.started.get((id, phase), fence) < fence:
            self._once.add(key)
            self.saw(what)

    def note(self, line: str) -> None:
        line = f"{self.now:.6f} {line}\n"
        self._log.update(line.encode())
        self.tail.append(line)
        if len(self.tail) > 2 * TAIL:
            del self.tail[:TAIL]

    @property
    def digest(self) -> str:
        return self._log.hexdigest()

    def at(self, when: float, what: Callable[[], None]) -> None:
        self._numbered += 1
        heapq.heappush(self._events, (when, self._numbered, what))

    def later(self, what: Callable[[], None], within_s: float) -> None:
        self.at(self.now + self.rng.uniform(0, within_s), lambda: self._guarded("later", what))

    def committed(self, owner: str, writes: Sequence[Write]) -> None:
        for write in writes:
            if write.kind == "change":
                self.authors[int(write.id)] = owner

    def beaten(self, kind: str, id: str) -> None:
        if kind == "beat" and not id.startswith("daemon"):
            experiment, _, fence = id.partition(".")
            self.checker.beat((experiment, int(fence)))

    def interleave(self, owner: str) -> bool:
        """Between a decision's reads and its commit others act; whether the process still lives then."""
        if self._inside or owner == "meddler":
            return True
        self._inside = True
        try:
            if self.strikes("interleaved"):
                self._another_acts(owner)
            process = next((p for p in self._daemons() if p.name == owner), None)
            if process is not None and self.strikes("stalled"):
                until, epoch = self.now + self.rng.uniform(1, 4 * LEASE_S), self.checker.epoch
                while self.now < until and self.checker.epoch == epoch:  # the worst moment is just after a takeover
                    self._next()
                if self.checker.epoch != epoch:
                    self.saw("a takeover in the middle of a call")
                return process.alive
        finally:
            self._inside = False
        return True

    def _another_acts(self, owner: str) -> None:
        others = [p for p in self.crew if p.name != owner]
        if not others or self.rng.random() < 0.2:
            self._guarded("person", self.person.act)
        else:
            self._step(self.rng.choice(others))

    def settings_text(self, quota: int | None = None, lease_s: float = LEASE_S) -> str:
        limit = f"experiments = {quota}\n" if quota else ""
        return (f"[budget]\nmonthly_usd = {self.budget_usd}\n[prices]\ncpu_usd_h = 1.0\n[designers]\nevolution = 0.0\n"
                f"[limits]\nworkers = {self.plan.workers}\nlease_s = {lease_s}\nbeat_s = {BEAT_S}\n"
                f"grace_s = {GRACE_S}\nphase_s = {PHASE_S}\nlost_attempts = {LOST_ATTEMPTS}\n{limit}"
                f"stop_at_goal = {str(self.goal and not quota).lower()}\n")

    def settings(self) -> Any:
        from lab.settings import parse
        return parse(self.settings_text(1 if self.calm else None))

    # ------------------------------------------------------------------ running

    def run(self) -> None:
        with silenced(self):
            self._hire()
            self._let_things_happen()
            while not self.calm:
                self._next()
                if len(self.checker.experiments) >= self.wanted or self.now > 24 * HOUR_S:
                    self._calm_down()
            self._until_everything_ended()

    def _next(self) -> None:
        self.now, _, what = heapq.heappop(self._events)
        what()
        self.checker.look()

    def _hire(self) -> None:
        for _ in range(self.plan.workers):
            self._start_worker()
        self._start_daemon()

    def _let_things_happen(self) -> None:
        rhythm = self.rhythm
        for mean, what in ((rhythm.worker_killed, self._kill_worker), (rhythm.worker_noticed, self._notice_worker),
                           (rhythm.daemon_killed, self._kill_daemon), (rhythm.power_cut, self._cut_power),
                           (rhythm.suspended, self._suspend), (rhythm.clock_jumps, self._jump_clock),
                           (rhythm.cut_off, self._cut_off), (rhythm.person, self.person.act),
                           (TERMS_S, self.person.change_terms),
                           (rhythm.meddler, self.meddler.act), (rhythm.rival, self._rival),
                           (rhythm.daemon_told, self._tell_daemon)):
            if mean < float("inf"):
                self._every(mean, what)

    def _every(self, mean: float, what: Callable[[], None]) -> None:
        def happen() -> None:
            if not self.calm:
                self.note(what.__name__)
                self._guarded(what.__name__, what)
                self._every(mean, what)
        self.at(self.now + self.rng.expovariate(1 / mean), happen)

    def _guarded(self, name: str, what: Callable[[], None]) -> None:
        try:
            what()
        except Killed as killed:
            self.note(f"{name} was killed: {killed}")

    def _calm_down(self) -> None:
        self.note("the faults stop")
        self.calm, self.weather = True, CALM
        for process in [*self.crew, self.person, self.meddler]:
            process.line.cut_until = 0.0
        self.person.raise_budget()
        self.person.push(self.settings_text(1))
        self.person.resume()

    def _until_everything_ended(self) -> None:
        deadline = self.now + PATIENCE_S
        while not self.checker.all_ended():
            if self.now > deadline or not self._events:
                raise Broken(10, f"not everything has ended: {self.checker.what_lives()}")
            self._next()
        self.checker.finish()

    # ------------------------------------------------------------------ processes

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}{self._names}"

    def _start_worker(self) -> None:
        self._employ(WorkerProcess(self, self._name("w")))

    def _start_daemon(self) -> None:
        """The supervisor's: with proof of the last one's death where one machine can have it, else patiently."""
        if self.checker.all_ended():
            return
        lease = self.checker.lease
        dead = lease is not None and not any(p.name == lease.holder for p in self.crew)
        proof = (lease.epoch, self.person_beat(lease.epoch)) if self.locks and dead and lease is not None else None
        self._employ(DaemonProcess(self, self._name("d"), patient=not self.locks, proof=proof))

    def person_beat(self, epoch: int) -> int:
        import msgspec

        from lab.control import Beat
        record = self.ground.seen.get("beat", f"daemon.{epoch}")
        return msgspec.json.decode(record.body, type=Beat).n if record else 0

    def _rival(self) -> None:
        """A second daemon: refused where one machine shows that the first lives, else it waits for silence."""
        if len(self._daemons()) < 2:
            self._employ(DaemonProcess(self, self._name("d"), patient=not self.locks))

    def _employ(self, process: Process) -> None:
        self.note(f"{process.name} starts")
        self.crew.append(process)
        self._wake(process, self.rng.uniform(0, 2.0))

    def _wake(self, process: Process, delay: float) -> None:
        process.turn += 1
        turn = process.turn

        def call() -> None:
            if process.alive and process.turn == turn:
                self._step(process)
        self.at(self.now + delay, call)

    def _step(self, process: Process) -> None:
        self._asked = self.ground.requests
        try:
            delay = process.step()
        except Killed as killed:
            self.note(f"{process.name} was killed {killed}")
            self._end(process)
            return
        if process.over:
            self._end(process)
            return
        if delay > 0:
            grain_s = self.plan.look_s if isinstance(process, WorkerProcess) else self.plan.grain_s
            delay = max(delay, grain_s) * self.rng.uniform(1.0, 1.1)
        delay += self._spent_s
        if self.strikes("step_late"):
            delay += self.rng.uniform(0, 5.0 if isinstance(process, WorkerProcess) else 50.0)
        self._wake(process, delay + 0.01)

    @property
    def _spent_s(self) -> float:
        """What the requests of this step have taken so far."""
        return self.plan.request_s * (self.ground.requests - self._asked)

    def dispatched(self, experiment: str) -> None:
        """A daemon has sent the message of this experiment."""
        if experiment in self._sent or self.calm:
            return
        self._sent.add(experiment)
        if self._freed:
            self.reactions_s.append(self.now + self._spent_s - self._freed.popleft())

    def freed(self) -> None:
        """An experiment has ended: its place can be taken by another."""
        if not self.calm:
            self._freed.append(self.now)

    def _end(self, process: Process) -> None:
        if not process.alive:  # it died while it stood still in the middle of a call
            return
        process.end()
        self.crew.remove(process)
        if isinstance(process, WorkerProcess):
            self.at(self.now + self.rng.uniform(1, 60), self._start_worker)
        elif not self._daemons():
            self.at(self.now + self.rng.uniform(1, 60), self._supervise)
        if isinstance(process, DaemonProcess) and process.daemon.left and not process.daemon.handed_over:
            self._think_again(process.daemon.why)

    def _think_again(self, why: str) -> None:
        """A run came to its end before the world did: the person takes away what ended it."""
        if "budget" in why:
            self.later(self.person.raise_budget, 60.0)
        elif "goal" in why:
            self.goal = False
            self.later(lambda: self.person.push(self.settings_text()), 60.0)

    def _supervise(self) -> None:
        if not self._daemons():
            self._start_daemon()

    def _daemons(self) -> list[DaemonProcess]:
        return [p for p in self.crew if isinstance(p, DaemonProcess)]

    def _workers(self) -> list[WorkerProcess]:
        return [p for p in self.crew if isinstance(p, WorkerProcess)]

    # ------------------------------------------------------------------ accidents

    def dies(self, worker: WorkerProcess) -> None:
        if worker.alive:
            self._struck("deadly")
            self.note(f"{worker.name} is taken down by what it runs")
            self._end(worker)

    def _struck(self, what: str) -> None:
        self.faults[what] += 1

    def _kill_worker(self) -> None:
        if self._workers():
            self._struck("worker killed")
            self._end(self.rng.choice(self._workers()))

    def _notice_worker(self) -> None:
        if self._workers():
            self._struck("worker noticed")
            self.rng.choice(self._workers()).worker.interrupt("the machine is taken back")

    def _kill_daemon(self) -> None:
        if self._daemons():
            self._struck("daemon killed")
            self._end(self.rng.choice(self._daemons()))

    def _tell_daemon(self) -> None:
        if self._daemons():
            self._struck("daemon told to go")
            self.rng.choice(self._daemons()).daemon.hand_over()

    def _cut_power(self) -> None:
        """One machine: all its processes die, and files that were not synced are torn."""
        if self.locks:
            self._struck("power cut")
            for process in list(self.crew):
                self._end(process)
            self.sometimes["a file was torn"] += self.disk.power_cut()

    def _suspend(self) -> None:
        """All machines sleep; their clocks do not. Nothing happens meanwhile."""
        self._struck("suspended")
        seconds = self.rng.uniform(10, 400)
        self._events = [(when + seconds, number, what) for when, number, what in self._events]
        self.now += seconds
        self.asleep += seconds

    def _jump_clock(self) -> None:
        self._struck("clock jumped")
        self._wall_offset += self.rng.choice((-HOUR_S, HOUR_S, self.rng.uniform(-HOUR_S, HOUR_S)))

    def _cut_off(self) -> None:
        if self.crew:
            self._struck("cut off")
            self.rng.choice(self.crew).line.cut_until = self.now + self.rng.expovariate(1 / 80)


@contextmanager
def silenced(world: World) -> Iterator[None]:
    """The product's log is counted instead of printed: it says which paths were walked."""
    def count(_: Any, __: str, event: dict[str, Any]) -> Any:
        world.checker.told(event)
        raise structlog.DropEvent
    before = structlog.get_config()
    structlog.configure(processors=[count], wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
                        cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
