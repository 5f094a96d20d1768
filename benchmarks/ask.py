"""How long one ask takes as the ledger grows: what the daemon pays for it, and what the designer's process takes.

    python -m benchmarks.ask [--asks 10]

The bar is an evolution ask under 1 s with 10,000 experiments in the ledger, and a daemon's part far under a 50 ms tick.
The search space has the size and the conditions of the classic codecs' one.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter, sleep
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from lab.experiment import Experiment, Outcome, Scores, Spec
from lab.space import Choice, Dimension, Integer, Real, When, sample
from lab.track import Family, Objective, Track
from orchestrator.designers.history import Memory
from orchestrator.designers.protocol import problem
from orchestrator.proposer import Answer, Ask, ProposerProcess

SPACE: tuple[Dimension, ...] = (
    Choice(name="encoder", values=("p", "q", "r")),
    *(Integer(name=f"preset_{e}", low=0, high=10, when=When("encoder", (e,))) for e in "pqr"),
    Real(name="quality", low=15, high=60), Real(name="scale", low=0.25, high=1.0),
    Integer(name="gop", low=16, high=512),
    *(Choice(name=f"tune_{e}", values=("none", "psnr", "ssim"), when=When("encoder", (e,))) for e in "pqr"),
    Real(name="psy", low=0.01, high=4.0, log=True, when=When("encoder", ("p",))),
    Integer(name="grain", low=0, high=50, when=When("encoder", ("q",))),
    Choice(name="adaptive", values=(True, False)), Choice(name="ten_bit", values=(True, False)),
)
OBJECTIVES = (Objective(metric="rate", direction="min", reference=10.0, log=True),
              Objective(metric="quality", direction="max", reference=25.0))
CLIPS = "0" * 64


def no_facts(path: Path) -> dict[str, Any]:
    return {}


TRACK = Track(name="bench", protocol=1, families=(Family(name="bench", space=SPACE),), metrics=(),
              objectives=OBJECTIVES, goals=(), phases=lambda spec: (), anchors=(), derive=lambda scores, _: scores,
              facts=no_facts, not_applicable=lambda spec: frozenset(), explain=lambda scores: "")


def experiments(count: int, rng: Random) -> Iterator[Experiment]:
    """Ended experiments: one in ten failed, the others with noise around a rate-quality curve."""
    for i in range(count):
        params = sample(SPACE, rng)
        spec = Spec(track="bench", family="bench", params=params, clips=CLIPS, seed=0, protocol=1)
        rate = 0.1 * 100 ** rng.random()
        mean: dict[str, float | None] = {"rate": rate, "quality": 30 + 8 * rate**0.5 - 4 * rng.random()}
        outcome = (Outcome(verdict="failed", reason="crash") if i % 10 == 9 else
                   Outcome(verdict="partial", scores=Scores(mean=mean, clips={})))
        yield Experiment(id=f"e{i:06}", spec=spec, fingerprint=spec.fingerprint(), purpose="explore",
                         designer="control", state="finished", outcome=outcome)


def timed(call: Callable[[], Any]) -> float:
    start = perf_counter()
    call()
    return (perf_counter() - start) * 1e3


def wait(proposer: ProposerProcess) -> Answer:
    while (found := proposer.poll()) is None:
        sleep(0.0005)
    return found


def measure(proposer: ProposerProcess, count: int, asks: int) -> list[str]:
    """One row of the table, in milliseconds but for the size."""
    memory, made = Memory(TRACK, problem(TRACK), CLIPS), list(experiments(count, Random(count)))
    seeing = timed(lambda: deque(map(memory.see, made), maxlen=0))
    size, starting, waiting = 0, [], []
    for i in range(asks):
        start = perf_counter()
        ask = Ask(id=i, designer="evolution", problem=problem(TRACK), history=memory.history(), seed=i)
        proposer.ask(ask)
        starting.append((perf_counter() - start) * 1e3)
        found = wait(proposer)
        waiting.append((perf_counter() - start) * 1e3)
        if found.error or not found.proposals:
            raise RuntimeError(f"the ask failed: {found.error or 'no proposal'}")
        size = len(msgspec.json.encode(ask))
    return [f"{count:,}", f"{len(memory.history().told)}", f"{size / 1024:.0f}", f"{seeing / count:.3f}",
            f"{median(starting):.1f}", f"{median(waiting):.0f}", f"{max(waiting):.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--asks", type=int, default=10, help="asks a row")
    asks = parser.parse_args().asks
    proposer = ProposerProcess()
    proposer.ask(Ask(id=0, designer="evolution", problem=problem(TRACK), history=Memory(
        TRACK, problem(TRACK), CLIPS).history()))
    first = timed(lambda: wait(proposer))
    table = Table("ledger", "told", "ask KiB", "see ms", "ask ms", "answer ms", "worst ms",
                  title=f"evolution, one proposal an ask (the child's start took {first:.0f} ms)",
                  caption="see (an experiment) and ask (start it) are the daemon's time, answer is the wait for it")
    for count in (100, 1_000, 10_000):
        table.add_row(*measure(proposer, count, asks))
    proposer.close()
    Console().print(table)


if __name__ == "__main__":
    main()
