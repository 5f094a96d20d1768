"""What the daemon costs with ten thousand experiments in the ledger: memory, a round, how soon it reacts, and a look.

    python -m benchmarks.daemon [--experiments 10000] [--folder DIR]

The bars are 150 MB, 50 ms a round, less than a second from a finished experiment to its settled money, and as much for
`aether status`. The daemon is the real one in a process of its own, over SQLite; the experiments are put into the
ledger by its own calls.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

import psutil
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from lab.backend import Backend
from lab.clock import SystemClock
from lab.errors import Refused
from lab.experiment import Experiment, Outcome, Scores, Spec
from lab.local.backend import open_local
from lab.local.journal import Journal
from lab.settings import Settings, parse
from lab.space import sample
from lab.track import Phase, Track, load_track
from orchestrator.daemon import Daemon
from orchestrator.given import DaemonConfig, Surroundings
from orchestrator.planner import ClipSets
from orchestrator.proposer import ProposerProcess

BARS = {"memory MB": 150.0, "round ms": 50.0, "reaction s": 1.0, "aether status s": 1.0}
LOOKS, AETHER = 5, Path(sys.executable).with_name("aether")
USD, BUDGET = 1_000_000, "built"
CLIPS = ClipSets("1" * 64, "2" * 64)
SETTINGS = "[designers]\nevolution = 0.0\n[limits]\nworkers = 4\nstop_at_goal = false\n[budget]\nmonthly_usd = 1e6\n"


def track() -> Track:
    """The codec track, whose experiments take no time. Without its anchors, which would come first."""
    score = Phase(name="score", entry="none:none", outputs=("scores.json",))
    return replace(load_track("codec"), phases=lambda spec: (score,), anchors=())


TRACK = track()
FAMILY = TRACK.family("classic")


class NoReports:
    """Composing is another process's work and another benchmark's."""

    busy = False

    def start(self, key: str, why: str) -> None:
        """A report is due; nothing is measured of it here."""


def outcome(rng: Random) -> Outcome:
    values: dict[str, float | None] = {metric.name: rng.uniform(0, 50) for metric in TRACK.metrics}
    return Outcome(verdict="partial", scores=Scores(mean=values, clips={"a": values, "b": values}))


def fill(backend: Backend, count: int) -> None:
    """Every call that an experiment's life takes, without the waiting."""
    ledger, rng = backend.ledger, Random(1)
    epoch = ledger.office.take_lease("builder", host="here", pid=1, observed=None, op_id="builder")
    ledger.accounts.set_cap(BUDGET, 10**15, op_id="cap")
    for n in range(1, count + 1):
        id = f"e{n:05d}"
        spec = Spec(track=TRACK.name, family=FAMILY.name, params=sample(FAMILY.space, rng), clips=CLIPS.explore, seed=n,
                    protocol=TRACK.protocol)
        ledger.propose(Experiment(id=id, spec=spec, fingerprint=spec.fingerprint(), purpose="explore",
                                  designer="control"), epoch=epoch, op_id=f"p.{id}")
        ledger.approve(id, epoch=epoch, op_id=f"a.{id}")
        ledger.reserve(id, USD, (BUDGET,), price_usd_h=0.1, epoch=epoch, op_id=f"r.{id}")
        run_one(backend, id, rng)
        ledger.accounts.settle(f"{id}.1", USD // 100, used_s=5.0, epoch=epoch, op_id=f"s.{id}")
    ledger.office.leave_lease(epoch, op_id="left")


def run_one(backend: Backend, id: str, rng: Random) -> None:
    fence = backend.ledger.claim(id, worker="w", device_class="cpu", op_id=f"c.{id}")
    backend.ledger.finish(id, fence, outcome(rng), used_s=5.0, phases={}, op_id=f"f.{id}")


def serve(folder: Path, rounds: int) -> Mapping[str, Any]:
    """In the daemon's process: the time until it is ready, each round's, and the peak of its memory."""
    backend, started = open_local(folder), time.perf_counter()
    settings: Settings = parse(SETTINGS)
    daemon = Daemon(DaemonConfig(holder="bench"), settings, Surroundings(
        backend=backend, track=TRACK, proposer=ProposerProcess(), reporter=NoReports(), clips=CLIPS,
        clock=SystemClock(), parse=parse, journal=Journal(folder / "journal.jsonl")))
    daemon.step()
    daemon.step()
    ready, times, cpu_times = time.perf_counter() - started, list[float](), list[float]()
    while len(times) < rounds:
        start, cpu = time.perf_counter(), time.process_time()
        delay = daemon.step()
        times.append(time.perf_counter() - start)
        cpu_times.append(time.process_time() - cpu)
        print(".", end="", file=sys.stderr, flush=True)
        time.sleep(delay)
    daemon._around.proposer.close()
    memory = psutil.Process().memory_info().rss
    return {"ready": ready, "times": times, "cpu": cpu_times, "rss": memory}


def reactions(backend: Backend, process: subprocess.Popen[bytes]) -> list[float]:
    """As a worker: claim, finish, and wait until the daemon has settled it."""
    rng, found = Random(2), list[float]()
    while process.poll() is None:
        message = backend.queues["cpu"].receive(3600)
        if message is None:
            time.sleep(0.01)
            continue
        try:
            run_one(backend, message.body, rng)
        except Refused:  # a confirmation that was called off while it waited
            continue
        finally:
            backend.queues["cpu"].done(message)
        start = time.perf_counter()
        while process.poll() is None:
            reservation = backend.ledger.accounts.reservation(f"{message.body}.1")
            if reservation is not None and reservation.settled:
                found.append(time.perf_counter() - start)
                break
            time.sleep(0.005)
    return found


def measure(folder: Path, experiments: int, rounds: int) -> list[list[str]]:
    backend = open_local(folder, create=True)
    start = time.perf_counter()
    fill(backend, experiments)
    print(f"{experiments} experiments put into the ledger in {time.perf_counter() - start:.0f} s")
    command = [sys.executable, "-m", "benchmarks.daemon", "--serve", str(folder), "--rounds", str(rounds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    reacted = reactions(backend, process)
    told = json.loads(process.communicate()[0].splitlines()[-1])  # after what the daemon logs
    times = [1e3 * seconds for seconds in told["times"]]
    return [row("aether status s", looks(folder)), ["ready after s", f"{told['ready']:.2f}", "", ""],
            row("memory MB", [told["rss"] / (1 << 20)]), row("round ms", times),
            row("round CPU ms", [1e3 * seconds for seconds in told["cpu"]]), row("reaction s", reacted)]


def looks(folder: Path) -> list[float]:
    """As a person who asks how the lab stands, in a process of its own each time."""
    times = list[float]()
    for _ in range(LOOKS):
        start = time.perf_counter()
        subprocess.run([AETHER, "status", "--backend", f"local:{folder}"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return times


def row(name: str, values: list[float]) -> list[str]:
    middle, bar = median(values), BARS.get(name)
    high = quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else middle
    verdict = f"{bar:g} {'met' if high < bar else 'MISSED'}" if bar is not None else ""
    return [name, f"{middle:.3g}", f"{high:.3g}", verdict]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--folder", type=Path, help="where the lab is made; an existing folder")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        print(json.dumps(serve(asked.serve, asked.rounds)))
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        rows = measure(Path(name) / "lab", asked.experiments, asked.rounds)
    printed = Table("what", "median", "99 %", "bar", title=f"the daemon with {asked.experiments} experiments")
    for line in rows:
        printed.add_row(*line)
    Console().print(printed)


if __name__ == "__main__":
    main()
