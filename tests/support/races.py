"""What one of many processes does in a race over a shared ledger, and the line that they all start from.

Each runner opens the table itself, as a worker on another machine would, and gives back what it won.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from lab.clock import SystemClock
from lab.control import Idea
from lab.errors import AetherError, Duplicate, LabHeld, OverBudget, Unavailable, WrongState
from lab.ledger import Ledger
from support.laboratory import BUDGET, USD, experiment, spec
from support.tables import Place

RUNNERS = 16
START_LIMIT_S = 120.0


def race(pool: ProcessPoolExecutor, place: Place, folder: Path, runner: Callable[..., Any], *given: Any) -> list[Any]:
    """Every runner's result, from `RUNNERS` processes that start together."""
    running = [pool.submit(_run, place, folder, runner, me, given) for me in range(RUNNERS)]
    return [future.result() for future in running]


def _run(place: Place, folder: Path, runner: Callable[..., Any], me: int, given: tuple[Any, ...]) -> Any:
    ledger = Ledger(place.open(), SystemClock())
    _wait_for_all(folder, me)
    return runner(ledger, me, *given)


def _wait_for_all(folder: Path, me: int) -> None:
    (folder / f"ready-{me}").touch()
    end = time.monotonic() + START_LIMIT_S
    while len(list(folder.glob("ready-*"))) < RUNNERS:
        if time.monotonic() > end:
            raise TimeoutError("not every runner came to the start")
        time.sleep(0.005)


# ---------------------------------------------------------------------- the runners


def claims(ledger: Ledger, me: int, ids: list[str]) -> list[str]:
    """Try to claim every experiment; gives those won. Each starts at another one, so that wins are spread."""
    won = []
    for id in ids[me % len(ids):] + ids[:me % len(ids)]:
        try:
            ledger.claim(id, worker=f"w{me}", device_class="cpu2", op_id=f"claim.{id}.{me}")
            won.append(id)
        except WrongState:
            continue
    return won


def reserves(ledger: Ledger, me: int, ids: list[str], epoch: int) -> tuple[int, int]:
    """Reserve a dollar for each of my experiments; gives how many fitted and how many did not."""
    fitted = refused = 0
    for id in ids[me::RUNNERS]:
        try:
            ledger.reserve(id, USD, (BUDGET,), price_usd_h=1.0, epoch=epoch, op_id=f"reserve.{id}")
            fitted += 1
        except OverBudget:
            refused += 1
    return fitted, refused


def settles(ledger: Ledger, me: int, keys: list[str], epoch: int) -> int:
    """Settle the same reservations as everyone else; gives how many of them by this runner."""
    return sum(_says(lambda key=key: ledger.accounts.settle(  # type: ignore[misc]
        key, USD // 2, epoch=epoch, op_id=f"settle.{key}.{me}"), WrongState) for key in keys)


def writes(ledger: Ledger, me: int, count: int) -> list[int]:
    """The first two runners follow the changes until all are there; the others make them. Gives the numbers seen."""
    if me >= 2:
        for n in range(count):
            _answered(lambda n=n: ledger.office.add_idea(  # type: ignore[misc]
                Idea(key=f"i{me}.{n}", family="line", params={}), op_id=f"idea.{me}.{n}"))
        return []
    return list(_followed(ledger, (RUNNERS - 2) * count))


def _followed(ledger: Ledger, wanted: int) -> Iterator[int]:
    since, end = 0, time.monotonic() + START_LIMIT_S
    while since < wanted and time.monotonic() < end:
        for change in ledger.changes(since, 7):
            since = change.n
            yield change.n
        time.sleep(0.01)


def doubles(ledger: Ledger, me: int, count: int, epoch: int) -> list[str]:
    """The same calls under the same op_ids as everyone else; gives the answers."""
    return [ledger.propose(experiment(f"e{n}"), epoch=epoch, op_id=f"propose.{n}") for n in range(count)]


def twins(ledger: Ledger, me: int, count: int, epoch: int) -> int:
    """Propose the same specifications as everyone else under other names; gives how many were taken."""
    return sum(_says(lambda n=n: ledger.propose(  # type: ignore[misc]
        experiment(f"e{n}.{me}", spec(n=n)), epoch=epoch, op_id=f"propose.{n}.{me}"), Duplicate) for n in range(count))


def leases(ledger: Ledger, me: int) -> int:
    """Try to become the daemon; gives the epoch, or 0."""
    try:
        return ledger.office.take_lease(f"d{me}", host="here", pid=me, observed=None, op_id=f"lease.{me}")
    except LabHeld:
        return 0


def _answered(call: Callable[[], object]) -> None:
    """As every caller does: asks again, under the same op_id, while others keep the database to themselves."""
    for _ in range(5):
        try:
            call()
            return
        except Unavailable:
            continue
    call()


def _says(call: Callable[[], object], no: type[AetherError]) -> bool:
    try:
        call()
        return True
    except no:
        return False
