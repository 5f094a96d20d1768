"""What a daemon is given: how it is to behave, and the parts around it that the simulator replaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

import msgspec

from lab.backend import Backend
from lab.clock import Clock
from lab.local.journal import Journal
from lab.market import Market
from lab.settings import Settings
from lab.track import Track
from orchestrator.meter import Tab
from orchestrator.places import NO_FLEETS
from orchestrator.planner import ClipSets
from orchestrator.post import Reporter
from orchestrator.proposer import Proposer


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True):
    holder: str  # unique to this process
    host: str = ""
    pid: int = 0
    seed: int | None = None  # seeded mode: the same proposals whatever happens on the way
    study_seed: int = 0  # without one: where this lab's designers start
    wait: bool = False  # wait for another daemon's lease to run out, instead of refusing
    observed: tuple[int, int] | None = None  # a heartbeat that is known to be a dead daemon's
    tick_s: float = 0.2  # between rounds; a finished experiment is seen within it
    fleets: Mapping[str, int] = NO_FLEETS  # of an account: job class → the machines that may come
    asking_s: float = inf  # the same while a designer is asked, if that is shorter


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    backend: Backend
    track: Track
    proposer: Proposer
    reporter: Reporter
    clips: ClipSets
    clock: Clock
    parse: Callable[[str], Settings]
    journal: Journal | None = None
    market: Market | None = None  # of what machines cost; without one the settings say it
    tab: Tab = msgspec.field(default_factory=Tab)  # of this process, whose daemons follow each other
