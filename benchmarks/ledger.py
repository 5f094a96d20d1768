"""What the books cost: changes a second, queue + ledger + store for one experiment, and 64 workers on one database.

    python -m benchmarks.ledger [--folder DIR] [--dynamodb URL] [--workers 64]

The bars are 50 ms an experiment, and 64 worker processes on one SQLite backend without an error that a person sees.
DIR should be on the disk that a lab would live on, since every change waits for it; a temporary folder is the default.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any
from uuid import uuid4

import msgspec
from rich.console import Console
from rich.table import Table as Printed

from lab.backend import Backend
from lab.clock import SystemClock
from lab.control import Beat, Idea
from lab.errors import AetherError, Refused
from lab.experiment import Checkpoint, Experiment, Outcome, Scores, Spec
from lab.ledger import Ledger
from lab.local.backend import open_local
from lab.local.table import SqliteTable
from lab.table import Table

USD, BUDGET = 1_000_000, "bench"
METRICS = [f"metric_{n}" for n in range(20)]
OUTCOME = Outcome(verdict="partial", scores=Scores(  # of the size that a codec experiment on two clips leaves
    mean=dict.fromkeys(METRICS, 37.123456), clips={clip: dict.fromkeys(METRICS, 37.123456) for clip in "ab"}))
BITSTREAM = os.urandom(300_000)


class Where(msgspec.Struct, frozen=True):
    """A table that other processes can open too: a SQLite file, or a name at DynamoDB Local."""

    name: str
    url: str = ""

    def ledger(self) -> Ledger:
        return Ledger(self._table(), SystemClock())

    def _table(self) -> Table:
        if not self.url:
            return SqliteTable(self.name)
        from lab.aws.table import DynamoTable
        return DynamoTable(_dynamodb(self.url), self.name)


class Tally(msgspec.Struct, frozen=True):
    """One worker's loop: experiments finished, every call's time, and what a person would have seen."""

    finished: int
    call_ms: list[float]
    errors: list[str]


def _dynamodb(url: str) -> Any:
    from lab.aws.table import connect
    return connect(endpoint_url=url, region_name="us-east-1", aws_access_key_id="bench", aws_secret_access_key="bench")


def together(count: int, folder: Path, opener: Callable[[], Any], work: Callable[..., Any], *given: Any,
             ) -> tuple[list[Any], float]:
    """What `work(me, opened, *given)` gives in each of `count` processes that open first and then start at one moment,
    and the seconds from there to the last one's end."""
    start = folder / f"start-{uuid4().hex}"
    start.mkdir()
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(_from_the_line, start, count, me, opener, work, given) for me in range(count)]
        done = [future.result() for future in running]
    began = max(at for at, _, _ in done)
    return [result for _, _, result in done], max(end for _, end, _ in done) - began


def _from_the_line(start: Path, count: int, me: int, opener: Callable[[], Any], work: Callable[..., Any],
                   given: tuple[Any, ...]) -> Any:
    opened = opener()
    (start / str(me)).touch()
    while len(os.listdir(start)) < count:
        sleep(0.02)
    began = perf_counter()
    result = work(me, opened, *given)
    return began, perf_counter(), result


# ---------------------------------------------------------------------- changes a second


def make_changes(me: int, ledger: Ledger, count: int) -> None:
    for n in range(count):
        key = f"i{me}.{n}"
        ledger.office.add_idea(Idea(key=key, family="line", params={"crf": 30, "preset": "medium"}), op_id=key)


def changes_a_second(name: str, where: Callable[[], Where], folder: Path, count: int) -> list[list[str]]:
    rows = []
    for writers in (1, 4, 16):
        place = where()
        _, seconds = together(writers, folder, place.ledger, make_changes, count // writers)
        made = place.ledger().last_change()
        rows.append([name, f"{writers}", f"{made}", f"{made / seconds:.0f}"])
    return rows


def dynamodb_table(url: str) -> Where:
    from lab.aws.table import create_table
    where = Where(f"bench-{uuid4().hex[:12]}", url)
    create_table(_dynamodb(url), where.name)
    return where


# ---------------------------------------------------------------------- one experiment


def experiment(id: str) -> Experiment:
    spec = Spec(track="bench", family="line", params={"id": id}, clips="0" * 64, seed=1, protocol=1)
    return Experiment(id=id, spec=spec, fingerprint=spec.fingerprint(), purpose="explore", designer="control")


def opened(folder: Path) -> tuple[Backend, int]:
    backend = open_local(folder, create=True)
    epoch = backend.ledger.office.take_lease("bench", host="here", pid=os.getpid(), observed=None, op_id="lease")
    backend.ledger.accounts.set_cap(BUDGET, 10**12, op_id="cap")
    return backend, epoch


def dispatch(backend: Backend, id: str, epoch: int) -> None:
    """The daemon's half before the run."""
    backend.ledger.propose(experiment(id), epoch=epoch, op_id=f"propose.{id}")
    backend.ledger.approve(id, epoch=epoch, op_id=f"approve.{id}")
    backend.ledger.reserve(id, USD, (BUDGET,), price_usd_h=0.1, epoch=epoch, op_id=f"reserve.{id}")
    backend.queues["cpu"].send(id)


def one_experiment(backend: Backend, id: str, epoch: int) -> None:
    """Every call that daemon and worker make for an experiment of three phases, two of which store a file."""
    dispatch(backend, id, epoch)
    ledger, queue = backend.ledger, backend.queues["cpu"]
    message = queue.receive(60)
    assert message is not None
    fence = ledger.claim(id, worker="w", device_class="cpu2", op_id=f"claim.{id}")
    for n, phase in enumerate(("encode", "decode", "score")):
        ledger.beat(id, Beat(fence=fence, n=n))
        outputs = {"out": backend.store.put_bytes(BITSTREAM + f"{id}{n}".encode())} if n < 2 else {}
        ledger.checkpointed(id, fence, phase, Checkpoint(outputs=outputs, done=True), op_id=f"{phase}.{id}")
    ledger.finish(id, fence, OUTCOME, used_s=5.0, phases={"encode": 2.0}, op_id=f"finish.{id}")
    queue.done(message)
    ledger.accounts.settle(f"{id}.1", USD // 100, used_s=5.0, epoch=epoch, op_id=f"settle.{id}")


def per_experiment(folder: Path, count: int) -> list[str]:
    backend, epoch = opened(folder)
    times = [_timed_ms(one_experiment, backend, f"e{n:05d}", epoch) for n in range(count)]
    changes = backend.ledger.last_change() / count
    return [f"{count}", f"{changes:.1f}", *_summary(times, 1)]


def _summary(times: Sequence[float], digits: int) -> list[str]:
    return [f"{figure:.{digits}f}" for figure in (median(times), quantiles(times, n=100)[98], max(times))]


def _timed_ms(call: Callable[..., Any], *given: Any) -> float:
    start = perf_counter()
    call(*given)
    return (perf_counter() - start) * 1e3


# ---------------------------------------------------------------------- many workers


def work(me: int, backend: Backend) -> Tally:
    """Claim, beat and finish until nothing waits."""
    finished, times, errors = 0, list[float](), list[str]()

    def call(what: Callable[..., Any], *given: Any, **named: Any) -> Any:
        start = perf_counter()
        result = what(*given, **named)
        times.append((perf_counter() - start) * 1e3)
        return result

    try:
        while (message := call(backend.queues["cpu"].receive, 3600)) is not None:
            try:
                id = message.body
                fence = call(backend.ledger.claim, id, worker=f"w{me}", device_class="cpu2", op_id=f"claim.{id}.{me}")
                for n in range(3):
                    call(backend.ledger.beat, id, Beat(fence=fence, n=n))
                call(backend.ledger.finish, id, fence, OUTCOME, used_s=1.0, phases={}, op_id=f"finish.{id}")
                finished += 1
            except Refused:  # someone else has it: the hint was late
                pass
            call(backend.queues["cpu"].done, message)
    except AetherError as error:
        errors.append(str(error))
    return Tally(finished, times, errors)


def many_workers(folder: Path, workers: int, count: int) -> list[str]:
    backend, epoch = opened(folder)
    for n in range(count):
        dispatch(backend, f"e{n:05d}", epoch)
    tallies, seconds = together(workers, folder, partial(open_local, folder), work)
    ended = sum(1 for _ in backend.ledger.all_experiments("finished"))
    errors = [error for tally in tallies for error in tally.errors]
    times = [ms for tally in tallies for ms in tally.call_ms]
    if ended != count or sum(tally.finished for tally in tallies) != count:
        raise RuntimeError(f"{ended} of {count} experiments ended; the errors: {errors}")
    return [f"{workers}", f"{count}", f"{len(errors)}", f"{count / seconds:.0f}", *_summary(times, 1)]


def table(title: str, columns: Sequence[str], rows: Sequence[list[str]], caption: str = "") -> Printed:
    printed = Printed(*columns, title=title, caption=caption)
    for row in rows:
        printed.add_row(*row)
    return printed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="where the databases are made; an existing folder")
    parser.add_argument("--dynamodb", default=os.environ.get("AWS_ENDPOINT_URL_DYNAMODB", ""),
                        help="address of a running DynamoDB Local")
    parser.add_argument("--workers", type=int, default=64)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder, console = Path(name), Console()
        rows = changes_a_second("SQLite", lambda: Where(str(folder / f"{uuid4().hex}.db")), folder, 960)
        if asked.dynamodb:
            rows += changes_a_second("DynamoDB Local", lambda: dynamodb_table(asked.dynamodb), folder, 480)
        console.print(table("changes", ["table", "writers", "changes", "a second"], rows,
                            "" if asked.dynamodb else "DynamoDB Local was not asked: give --dynamodb URL"))
        console.print(table("queue + ledger + store for one experiment (bar: 50 ms)",
                            ["experiments", "changes each", "median ms", "99 % ms", "worst ms"],
                            [per_experiment(folder / "one", 300)]))
        console.print(table("workers on one SQLite backend (bar: no error)",
                            ["workers", "experiments", "errors", "a second", "call ms", "99 % ms", "worst ms"],
                            [many_workers(folder / "many", asked.workers, 8 * asked.workers)]))


if __name__ == "__main__":
    main()
