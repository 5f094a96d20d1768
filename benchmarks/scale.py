"""A lab as large as it may become: 10,000 experiments and 500 workers, with crashes, redeliveries and interruptions.

    python -m benchmarks.scale [--experiments 100 1000 10000] [--workers 500] [--request-ms 5] [--account 100]

The real daemon and real workers in the simulator's virtual time, on one machine's tables and, with --account, on the
AWS emulator's; its invariants are checked, so nothing is lost or counted twice. Requests are counted as AWS bills them
and priced by `benchmarks.price_list`. Each takes `--request-ms` of virtual time, one after another within a process:
that is what bounds the daemon on an account. A phase takes half a minute in the mean, a proposal 0.2 s.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.price_list import USD
from orchestrator.main import TICK_FOR_MONEY_S, TICK_S

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from simulator.ground import Ground, OneMachine
from simulator.metered import Metered
from simulator.plan import Plan
from simulator.weather import Rhythm, Weather
from simulator.world import World

NEVER = float("inf")
WEATHER = Weather(message_lost=0.02, message_doubled=0.05, message_late=0.05, phase_crash=0.02, request_lost=0.0005,
                  reply_lost=0.0005)
KILLED_EACH_S, NOTICED_EACH_S = 4 * 3600.0, 2 * 3600.0  # of one worker, in the mean


class Outcome(NamedTuple):
    where: str
    experiments: int
    workers: int
    hours: float  # of virtual time
    reactions_s: list[float]
    calls: Counter[str]
    usd: float
    faults: Counter[str]
    seconds: float  # of this machine


def run(experiments: int, workers: int, request_s: float, ground: Ground, where: str, seed: int = 1) -> Outcome:
    """One world to its end. Raises simulator.invariants.Broken where anything is lost or counted twice."""
    meter, begin = Metered(ground), time.perf_counter()
    world = World(seed, experiments, meter, Plan(
        workers=workers, weather=WEATHER, goal=False, budget_usd=1e5, thinking_s=(0.2,), tick_s=TICK_FOR_MONEY_S,
        asking_s=TICK_S, grain_s=TICK_S, look_s=2.0, request_s=request_s,
        rhythm=Rhythm(KILLED_EACH_S / workers, NOTICED_EACH_S / workers, 3600.0, *[NEVER] * 8),
        full_every=1_000_000_000, phases_every=1000))
    world.run()
    usd = sum(count * price_of(unit) for unit, count in meter.units.items())
    return Outcome(where, len(world.checker.experiments), workers, world.now / 3600, world.reactions_s, meter.calls,
                   usd, world.faults, time.perf_counter() - begin)


def price_of(unit: str) -> float:
    """Of one, where the list has them by the million or by the thousand."""
    return USD[unit] / (1e6 if "million" in unit else 1e3)


@contextmanager
def emulated() -> Iterator[Ground]:
    """A lab on the emulator, which is proved to be none of AWS's."""
    from simulator.on_account import Account as OnAccount
    from simulator.on_account import Rates, Wire

    from support.account import Account
    from support.emulator import serving
    with tempfile.TemporaryDirectory(prefix="aether-bench-") as folder, serving(
            Path(folder), "support.quick_emulator") as endpoint:
        names = Account(endpoint).deploy()
        yield OnAccount(endpoint, names, Path(folder), Wire(Random(1), Rates(0, 0, 0, 0)), time.time)


def growth(outcomes: list[Outcome]) -> Table:
    table = Table(title="growth, for each experiment")
    for column in ("experiments", "where", "workers", "an hour", "reaction s, median", "99 %", "requests", "$",
                   "faults", "run s"):
        table.add_column(column, justify="left" if column == "where" else "right")
    for one in outcomes:
        table.add_row(
            f"{one.experiments:,}", one.where, str(one.workers), f"{one.experiments / one.hours:,.0f}",
            f"{median(one.reactions_s):.2f}", f"{quantiles(one.reactions_s, n=100)[98]:.2f}",
            f"{one.calls.total() / one.experiments:.1f}", f"{one.usd / one.experiments:.6f}",
            f"{one.faults.total():,}", f"{one.seconds:.0f}")
    return table


def by_call(outcome: Outcome) -> Table:
    table = Table("request", "for each experiment", title=f"{outcome.experiments:,} experiments on {outcome.where}")
    for name, count in outcome.calls.most_common():
        table.add_row(name, f"{count / outcome.experiments:.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--experiments", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--account", type=int, nargs="*", default=[], help="how many on the emulator as well")
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--request-ms", type=float, default=5.0)
    asked = parser.parse_args()
    outcomes = []
    for where, sizes in (("one machine", asked.experiments), ("the emulator", asked.account)):
        for size in sizes:
            workers = max(1, min(asked.workers, size // 20))  # enough work for each to show how it goes on
            if where == "one machine":
                outcomes.append(run(size, workers, asked.request_ms / 1000, OneMachine(), where))
            else:
                with emulated() as ground:
                    outcomes.append(run(size, workers, asked.request_ms / 1000, ground, where))
            print(f"{size} on {where}: {outcomes[-1].seconds:.0f} s", file=sys.stderr, flush=True)
    Console(width=160).print(growth(outcomes), by_call(outcomes[-1]))


if __name__ == "__main__":
    main()
