"""Looks for the first seed at which a mutant is noticed: `python -m simulator.hunt [NAME…]`, `tests` on the path."""

from __future__ import annotations

import sys
import time

from simulator.invariants import Broken
from simulator.mutants import MUTANTS, Mutant, taken_out
from simulator.world import World

from lab.errors import AetherError

SEEDS = 20
EXPERIMENTS = 120  # a guard that is missed is missed early


def noticed_at(mutant: Mutant, seeds: int = SEEDS) -> tuple[int, Exception] | None:
    """The first seed that fails without the guard, and how; None if none does. By an invariant, or by a refusal that
    ends a process; what else is raised tells of a mutant that does not fit the product any more, and is raised here."""
    for seed in range(seeds):
        with taken_out(mutant):
            try:
                World(seed, EXPERIMENTS).run()
            except (Broken, AetherError) as error:
                return seed, error
    return None


def main() -> int:
    missed = 0
    for name in sys.argv[1:] or MUTANTS:
        start, found = time.process_time(), noticed_at(MUTANTS[name])
        missed += found is None
        told = f"seed {found[0]}: {type(found[1]).__name__}: {str(found[1])[:90]}" if found else "NOT NOTICED"
        print(f"{name:28s} {time.process_time() - start:5.1f} s  {told}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
