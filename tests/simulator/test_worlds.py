"""Two hundred worlds in which everything fails, and the invariants that hold in each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from simulator.plan import Plan
from simulator.run import command
from simulator.world import World

ROOT = Path(__file__).parents[2]
EXPERIMENTS, BLOCK = 200, 50
# Recovery paths that a sweep must have walked: one that never was is untested, whatever passes.
SOMETIMES = (
    "a checkpoint was resumed", "a clock jumped while work ran", "a confirmation was called off",
    "a daemon followed another", "a designer failed; control takes its turn",
    "a late request landed", "a late request was overtaken", "a lease was lost", "a lost race",
    "a phase waited for the machine", "a phase went on from its live checkpoint",
    "a proposal was refused", "a report's key was refused", "a reservation was freed unused",
    "a second daemon was refused", "a stale epoch was refused", "a takeover", "a takeover in the middle of a call",
    "a torn line was cut off", "a worker learned that its attempt is over", "a worker stopped itself",
    "an experiment was repeated", "a run was handed over", "an hourly report", "an idea cannot be run",
    "answered again by op_id", "handed over while work ran",
    "backend unavailable", "cancelled while running", "given back at a notice", "lease ended for silence",
    "meddling refused: Duplicate", "meddling refused: WrongState", "meddling refused: a stale fence",
    "not dispatched", "nothing to claim", "poison",
    "poison, though it got further each time", "pushed settings are not sound; going on with the old ones",
    "settings", "the budget says no")


def run(seed: int, experiments: int = EXPERIMENTS, rents: bool = False) -> World:
    world = World(seed, experiments, rents=rents)
    try:
        world.run()
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}\nrepeat it: {command(seed, experiments, rents)}")
    return world


@pytest.mark.parametrize("first", range(0, 200, BLOCK), ids=lambda first: f"seeds {first}-{first + BLOCK - 1}")
def test_nothing_is_lost_doubled_or_overspent_whatever_fails(first: int) -> None:
    """Fifty worlds a test, so that two processes share the work and each block must have walked every path."""
    walked = Counter[str]()
    for seed in range(first, first + BLOCK):
        walked += run(seed).sometimes
    assert [path for path in SOMETIMES if not walked[path]] == []


def test_the_same_seed_gives_the_same_events_to_the_byte() -> None:
    """In processes of their own, since the order of a set differs between two."""
    script = "import sys; from simulator.world import World; w = World(3, 60); w.run(); print(w.digest)"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    digests = {subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": path, "PYTHONHASHSEED": salt},
                              capture_output=True, text=True, check=True).stdout for salt in ("1", "2")}
    assert len(digests) == 1
    assert digests != {""}


def test_the_books_are_right_where_machines_are_rented_at_prices_that_move() -> None:
    walked = Counter[str]()
    for seed in range(1000, 1012):
        walked += run(seed, 40, rents=True).sometimes
    assert walked["an attempt was paid by its machine"]
    assert walked["the account's prices"]
    assert walked["a takeover"], "the hour of a daemon that died was paid by another"


def test_the_hours_of_a_house_that_is_dearer_than_what_is_free_are_in_the_books() -> None:
    walked = Counter[str]()
    for seed in range(2000, 2012):
        print("seed", seed)
        world = World(seed, 40, plan=Plan(house_usd_h=2.0, budget_usd=1.0))
        world.run()
        walked += world.sometimes
    assert walked["an hour of the house was not free"]


def test_two_seeds_are_two_worlds() -> None:
    assert run(3, 20).digest != run(4, 20).digest
