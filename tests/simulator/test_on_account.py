"""Worlds on an account: the real ledger, queue and store of AWS, with every fault of the weather and those of the wire.

The wire throttles, answers TransactionConflict, and loses requests and replies below botocore, whose own retries are at
work; only their pauses are left out.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from simulator.on_account import Account as Ground
from simulator.on_account import Rates, Wire
from simulator.weather import STORM
from simulator.world import World

from support.account import Account

pytestmark = pytest.mark.ci
EXPERIMENTS = 12  # every request goes to the emulator, some hundred for each


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_doubled_or_overspent_on_an_account(account: Account, tmp_path: Path, seed: int,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    wire = Wire(Random(f"wire {seed}"), Rates())
    world = World(seed, EXPERIMENTS, Ground(account.endpoint, account.deploy(), tmp_path, wire, time.time))
    world.weather = STORM
    try:
        world.run()
    except Exception as error:
        pytest.fail(f"seed {seed}: {type(error).__name__}: {error}\n{''.join(world.tail[-40:])}")
    assert [fault for fault in Rates._fields if not wire.faults[fault]] == []
    assert sum(world.faults[fault] for fault in ("message_lost", "message_doubled", "message_late"))
    assert sum(world.faults[fault] for fault in ("request_lost", "request_late", "reply_lost", "interleaved"))
    assert world.sometimes["attempt ended"] >= EXPERIMENTS / 2
