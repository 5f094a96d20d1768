"""How large a world is, how fast its processes look, and what is not left to its seed."""

from __future__ import annotations

from typing import NamedTuple

from simulator.invariants import FULL_EVERY
from simulator.weather import Rhythm, Weather

GRAIN_S = 5.0  # a process that asks to be called again soon is called this much later: nothing looks faster here


class Plan(NamedTuple):
    workers: int = 4
    weather: Weather | None = None
    rhythm: Rhythm | None = None
    goal: bool | None = None
    budget_usd: float | None = None
    house_usd_h: float = 0.005  # where nothing is rented
    tick_s: float = 6.0  # of a daemon
    asking_s: float = float("inf")
    thinking_s: tuple[float, ...] = (0.0, 0.0, 0.0, 10.0)  # of a designer, one or the other
    grain_s: float = GRAIN_S  # of a daemon
    look_s: float = GRAIN_S  # of a worker
    request_s: float = 0.0  # what each request takes; zero is no time at all
    full_every: int = FULL_EVERY  # changes, between two looks at everything
    phases_every: int = 1  # events, between two looks at what runs


DRAWN = Plan()
