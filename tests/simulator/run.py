"""Runs one world, or a range of them: `python -m simulator.run --seed N` with `tests` on the path.

A world that breaks prints its last events and the command that repeats it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from simulator.world import World


def command(seed: int, experiments: int, rents: bool = False) -> str:
    tail = " --rents" if rents else ""
    return f"PYTHONPATH=.:tests .venv/bin/python -m simulator.run --seed {seed} --experiments {experiments}{tail}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1, help="how many, from --seed on")
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--rents", action="store_true", help="machines are rented, at prices that move")
    parser.add_argument("--tail", type=int, default=40, help="events to print of a world that breaks")
    asked = parser.parse_args()
    broken, faults, sometimes = 0, Counter[str](), Counter[str]()
    for seed in range(asked.seed, asked.seed + asked.seeds):
        start, world = time.process_time(), World(seed, asked.experiments, rents=asked.rents)
        try:
            world.run()
            verdict = world.digest[:16]
        except Exception as error:
            broken += 1
            verdict = f"{type(error).__name__}: {error}\n  {command(seed, asked.experiments, asked.rents)}"
            if asked.seeds == 1:
                print("".join(world.tail[-asked.tail:]))
                raise
        faults += world.faults
        sometimes += world.sometimes
        print(f"seed {seed}: {len(world.checker.experiments)} experiments, {world.checker.seen} changes, "
              f"{world.now / 3600:.1f} h, {sum(world.faults.values())} faults, {time.process_time() - start:.2f} s, "
              f"{verdict}", flush=True)
    for name, counts in (("faults", faults), ("sometimes", sometimes)):
        print(name, *(f"  {count:6d} {what}" for what, count in sorted(counts.items())), sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
