"""A million faults: worlds one after the other for as long as is given, going on where the last soak stopped."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from simulator.run import command
from simulator.world import World

STATE = Path(__file__).parents[2] / ".soak" / "simulator.json"
EXPERIMENTS = 200
FIRST = 1000  # the seeds below are the sweep's


@pytest.mark.soak
def test_a_million_faults() -> None:
    state = json.loads(STATE.read_text()) if STATE.exists() else {"seed": FIRST, "faults": 0, "experiments": 0}
    until = time.monotonic() + 60 * float(os.environ.get("AETHER_SOAK_MINUTES", "60"))
    while time.monotonic() < until:
        world = World(state["seed"], EXPERIMENTS)
        try:
            world.run()
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\nrepeat it: {command(state['seed'], EXPERIMENTS)}")
        state = {"seed": state["seed"] + 1, "faults": state["faults"] + sum(world.faults.values()),
                 "experiments": state["experiments"] + len(world.checker.experiments)}
        _save(state)
        if state["seed"] % 20 == 0:
            print(f"{state['seed'] - FIRST} worlds, {state['experiments']} experiments, {state['faults']} faults of "
                  f"1000000, no invariant broken", flush=True)


def _save(state: dict[str, int]) -> None:
    STATE.parent.mkdir(exist_ok=True)
    aside = STATE.with_suffix(".aside")
    aside.write_text(json.dumps(state))
    aside.replace(STATE)
