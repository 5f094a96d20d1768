"""A million faults: worlds one after the other for as long as is given, going on where the last soak stopped, if that
was of this code."""

from __future__ import annotations

import json
import os
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from simulator.run import command
from simulator.world import World

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".soak" / "simulator.json"
ROOMS = ("lab", "orchestrator", "gpu_workers", "tests/simulator")  # what a world is made of
EXPERIMENTS, MILLION = 200, 1_000_000
FIRST = 1000  # the seeds below are the sweep's


@pytest.mark.soak
def test_a_million_faults() -> None:
    begin = {"code": _code(), "seed": FIRST, "faults": 0, "experiments": 0}
    kept = json.loads(STATE.read_text()) if STATE.exists() else begin
    state: dict[str, Any] = kept if kept.get("code") == begin["code"] else begin
    until = time.monotonic() + 60 * float(os.environ.get("AETHER_SOAK_MINUTES", "60"))
    while time.monotonic() < until and state["faults"] < MILLION:
        world = World(state["seed"], EXPERIMENTS)
        try:
            world.run()
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\nrepeat it: {command(state['seed'], EXPERIMENTS)}")
        state |= {"seed": state["seed"] + 1, "faults": state["faults"] + sum(world.faults.values()),
                  "experiments": state["experiments"] + len(world.checker.experiments)}
        _save(state)
        if state["seed"] % 20 == 0:
            _tell(state)
    _tell(state)


def _tell(state: dict[str, Any]) -> None:
    print(f"{state['seed'] - FIRST} worlds, {state['experiments']} experiments, {state['faults']:,} faults of "
          f"{MILLION:,} on this code, no invariant broken", flush=True)


def _code() -> str:
    """A hash of the code: what another code survived says nothing of this."""
    found = sha256()
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def _save(state: dict[str, Any]) -> None:
    STATE.parent.mkdir(exist_ok=True)
    aside = STATE.with_suffix(".aside")
    aside.write_text(json.dumps(state))
    aside.replace(STATE)
