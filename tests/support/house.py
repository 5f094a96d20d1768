"""A laboratory whose daemons come one after the other, on a clock of the test's. Nobody works, since nobody claims."""

from __future__ import annotations

from pathlib import Path

from lab.backend import Backend
from lab.ledger import Ledger
from lab.local.mailbox import FileMailbox
from lab.local.queue import SqliteQueue
from lab.local.store import FileStore
from lab.local.table import SqliteTable
from lab.market import Market
from lab.settings import Settings, parse
from orchestrator.daemon import Daemon
from orchestrator.given import DaemonConfig, Surroundings
from orchestrator.meter import Tab
from orchestrator.planner import ClipSets
from orchestrator.proposer import InlineProposer
from support.curve.spec import TRACK

NOON = 1_795_996_800.0 + 12 * 3600  # 2026-11-30T12:00 UTC


class Time:
    """Wall and monotonic clock of one process after the other."""

    def __init__(self) -> None:
        self.now = NOON

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - NOON


class NotingReporter:
    busy = False

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}

    def start(self, key: str, why: str) -> None:
        self.asked[key] = why


class House:
    """See the module."""

    def __init__(self, folder: Path, settings: Settings, market: Market | None = None) -> None:
        self._settings, self._market = settings, market
        self.clock, self.reporter = Time(), NotingReporter()
        table = SqliteTable(":memory:")
        self.backend = Backend(address="local:test", ledger=Ledger(table, self.clock), folder=folder,
                               queues={"cpu": SqliteQueue(table, "cpu", self.clock.wall)},
                               store=FileStore(folder / "store"), mailbox=FileMailbox(folder / "outbox"))
        self._count = 0

    def daemon(self, *, proof: bool = True, tab: Tab | None = None) -> Daemon:
        """One that has proof of the last one's death, or none, and can only come where the lab was left; of its own
        process, or of that with this tab."""
        self._count += 1
        office = self.backend.ledger.office
        lease = office.lease()
        seen = (lease.epoch, office.daemon_beat(lease.epoch)) if lease and proof else None
        return Daemon(DaemonConfig(holder=f"d{self._count}", observed=seen), self._settings, Surroundings(
            backend=self.backend, track=TRACK, proposer=InlineProposer(), reporter=self.reporter,
            clips=ClipSets("1" * 64, "2" * 64), clock=self.clock, parse=parse, market=self._market, tab=tab or Tab()))

    def lives(self, daemon: Daemon, minutes: float) -> None:
        until = self.clock.now + 60 * minutes
        for _ in range(5):
            daemon.step()
        while self.clock.now < until and not daemon.over:
            self.clock.now += 5.0
            daemon.step()

    def overheads(self) -> dict[str, float]:
        return {e.key: e.used_s for e in self.backend.ledger.accounts.entries() if e.what == "overhead"}
