"""What a deployed lab costs while it idles: the README shows what is computed, and what is computed is what happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import idle_cost
from benchmarks.price_list import REGION, USD
from lab.aws.prices import prices_of
from lab.backend import Backend
from lab.ledger import Ledger
from lab.local.mailbox import FileMailbox
from lab.local.queue import SqliteQueue
from lab.local.store import FileStore
from lab.local.table import SqliteTable
from lab.settings import parse
from lab.table import Record
from orchestrator.daemon import Daemon
from orchestrator.given import DaemonConfig, Surroundings
from orchestrator.main import TICK_FOR_MONEY_S
from orchestrator.planner import ClipSets
from orchestrator.proposer import InlineProposer
from support.curve.spec import TRACK

README = Path(__file__).parents[2] / "README.md"
SETTINGS = "[designers]\nevolution = 0.0\n[limits]\nexperiments = 1\n[report]\nhourly = false\n"


def test_the_readme_shows_the_table_that_is_computed() -> None:
    assert idle_cost.table() in README.read_text(), "put what `python -m benchmarks.idle_cost` prints into README.md"


def test_an_idle_lab_costs_less_than_the_bar() -> None:
    assert idle_cost.listed_usd() < idle_cost.BAR_USD


def test_no_unit_is_free_twice() -> None:
    units = [unit for line in idle_cost.lines() for unit in line.uses]
    assert len(units) == len(set(units))


class Metered(SqliteTable):
    """Counts what DynamoDB would bill: a read by its key or of a page is one, a page by tag half a one."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.billed = Counter[str]()

    def get(self, kind: str, id: str) -> Record | None:
        self.billed["reads"] += 2
        return super().get(kind, id)

    def page(self, kind: str, *, tag: str | None = None, after: str = "", limit: int = 100,
             newest_first: bool = False) -> Sequence[Record]:
        found = super().page(kind, tag=tag, after=after, limit=limit, newest_first=newest_first)
        self.billed["reads"] += 1 + 2 * len(found) if tag else 2
        return found

    def set(self, kind: str, id: str, body: bytes, tag: str = "") -> None:
        self.billed["writes"] += 1
        super().set(kind, id, body, tag)


class VirtualClock:
    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize("paused", [True, False], ids=["paused", "with work that no worker takes"])
def test_an_idle_daemon_asks_no_more_than_is_assumed(tmp_path: Path, paused: bool) -> None:
    """The real daemon for ten minutes of virtual time, once it has come to rest."""
    table, clock = Metered(), VirtualClock()
    backend = Backend(address="local:test", ledger=Ledger(table, clock), folder=tmp_path,
                      queues={"cpu": SqliteQueue(table, "cpu", clock.wall)}, store=FileStore(tmp_path / "store"),
                      mailbox=FileMailbox(tmp_path / "outbox"))
    backend.ledger.office.set_control(paused=paused, op_id="a person")
    daemon = Daemon(DaemonConfig(holder="me", tick_s=TICK_FOR_MONEY_S), parse(SETTINGS), Surroundings(
        backend=backend, track=TRACK, proposer=InlineProposer(), reporter=NoReporter(),
        clips=ClipSets("1" * 64, "2" * 64), clock=clock, parse=parse))
    for _ in range(20):
        clock.now += daemon.step()
    begun, table.billed = clock.now, Counter()
    while clock.now < begun + 600:
        clock.now += daemon.step()
    assert not daemon.over
    each_s = {what: count / 600 for what, count in table.billed.items()}
    assert each_s["reads"] / 2 <= idle_cost.READS_A_ROUND + 1 / idle_cost.BEATS_EVERY_S
    assert each_s["writes"] <= 1.05 / idle_cost.BEATS_EVERY_S


class NoReporter:
    busy = False

    def start(self, key: str, why: str) -> None:
        """Nobody composes anything here."""


def test_what_the_ledger_books_of_requests_has_the_price_of_the_table() -> None:
    listed = {"ledger_read": USD["DynamoDB million reads"], "ledger_write": USD["DynamoDB million writes"],
              "store_read": 1000 * USD["S3 thousand reads"], "store_write": 1000 * USD["S3 thousand writes"],
              "queue": USD["SQS million requests"], "topic": USD["SNS million publishes"],
              "bill": 1e6 * USD["Cost Explorer request"]}
    assert prices_of(REGION).requests_usd_million == pytest.approx(listed)
