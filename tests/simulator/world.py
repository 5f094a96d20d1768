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
from typing import Any

import structlog
from simulator.accidents import Accidents
from simulator.crew import Crew
from simulator.disk import Disk
from simulator.ground import Ground, OneMachine
from simulator.invariants import LOST_ATTEMPTS, Broken, Checker
from simulator.lines import Killed
from simulator.machine import SimRunning
from simulator.people import Meddler, Person
from simulator.plan import DRAWN, Plan
from simulator.staff import BEAT_S, GRACE_S, LEASE_S, PHASE_S
from simulator.weather import CALM, drawn, rhythm

from lab.table import Write

HOUR_S = 3600.0
START = 1_795_996_800.0  # 2026-11-30T00:00 UTC, a day before a month ends
PATIENCE_S = 3 * HOUR_S  # of virtual time, for everything to end once the faults have stopped
TAIL = 400  # lines of the log that are kept to be read


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
        self._numbered = 0
        self._once: set[Hashable] = set()
        self._wall_offset = self.rng.uniform(0, 24 * HOUR_S)
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
        self.crew, self.accidents = Crew(self), Accidents(self)
        self.reactions_s: list[float] = []  # from a place that came free to its next message
        self._freed, self._sent = deque[float](), set[str]()
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
        self.at(self.now + self.rng.uniform(0, within_s), lambda: self.guarded("later", what))

    def committed(self, owner: str, writes: Sequence[Write]) -> None:
        for write in writes:
            if write.kind == "change":
                self.authors[int(write.id)] = owner

    def beaten(self, kind: str, id: str) -> None:
        if kind == "beat" and not id.startswith("daemon"):
            experiment, _, fence = id.partition(".")
            self.checker.beat((experiment, int(fence)))

    def settings_text(self, quota: int | None = None, lease_s: float = LEASE_S) -> str:
        limit = f"experiments = {quota}\n" if quota else ""
        return (f"[budget]\nmonthly_usd = {self.budget_usd}\n[prices]\ncpu_usd_h = 1.0\n"
                f"overhead_usd_h = {self.plan.house_usd_h}\n[designers]\nevolution = 0.0\n"
                f"[limits]\nworkers = {self.plan.workers}\nlease_s = {lease_s}\nbeat_s = {BEAT_S}\n"
                f"grace_s = {GRACE_S}\nphase_s = {PHASE_S}\nlost_attempts = {LOST_ATTEMPTS}\n{limit}"
                f"stop_at_goal = {str(self.goal and not quota).lower()}\n")

    def settings(self) -> Any:
        from lab.settings import parse
        return parse(self.settings_text(1 if self.calm else None))

    # ------------------------------------------------------------------ running

    def run(self) -> None:
        with silenced(self):
            self.crew.hire()
            self.accidents.let_happen()
            while not self.calm:
                self.next()
                if len(self.checker.experiments) >= self.wanted or self.now > 24 * HOUR_S:
                    self._calm_down()
            self._until_everything_ended()

    def next(self) -> None:
        self.now, _, what = heapq.heappop(self._events)
        what()
        self.checker.look()

    def guarded(self, name: str, what: Callable[[], None]) -> None:
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
            self.next()
        self.checker.finish()

    def dispatched(self, experiment: str) -> None:
        """A daemon has sent the message of this experiment."""
        if experiment in self._sent or self.calm:
            return
        self._sent.add(experiment)
        if self._freed:
            self.reactions_s.append(self.now + self.crew.spent_s - self._freed.popleft())

    def freed(self) -> None:
        """An experiment has ended: its place can be taken by another."""
        if not self.calm:
            self._freed.append(self.now)

    def think_again(self, why: str) -> None:
        """A run came to its end before the world did: the person takes away what ended it."""
        if "budget" in why:
            self.later(self.person.raise_budget, 60.0)
        elif "goal" in why:
            self.goal = False
            self.later(lambda: self.person.push(self.settings_text()), 60.0)

    # ------------------------------------------------------------------ time

    def sleep(self, seconds: float) -> None:
        """All machines are suspended; their clocks are not. Nothing happens meanwhile."""
        self._events = [(when + seconds, number, what) for when, number, what in self._events]
        self.now += seconds
        self.asleep += seconds

    def jump(self, seconds: float) -> None:
        """Of the wall clock alone."""
        self._wall_offset += seconds


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
