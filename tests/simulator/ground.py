"""What a world stands on: where its records, messages and files are. One machine, unless another ground is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Protocol

from simulator.disk import Disk

from lab.backend import Queue, Store
from lab.files import Files
from lab.local.queue import SqliteQueue
from lab.local.store import FileStore
from lab.local.table import SqliteTable
from lab.table import Table

BESIDE = ("beat", "head", "change")  # kinds that no change has an image of


class Ground(Protocol):
    table: Table
    seen: Table  # the same, as the checker looks at it: nothing comes between
    requests: int  # so far; none where nothing is asked for over a network
    may_lock: bool  # whether a session can keep all others out
    hold: Callable[[float], None]  # told of each wall time that a process was shown

    def queue(self, wall: Callable[[], float], rng: Random) -> Queue: ...

    def store(self, files: Files, rng: Random) -> Store: ...

    def records(self) -> dict[tuple[str, str], tuple[int, str, bytes]]:
        """(kind, id) → (version, tag, body), of all that changes have images of."""
        ...

    def held(self, disk: Disk) -> dict[str, bytes]:
        """Hash → bytes, of all that is stored."""
        ...


class OneMachine:
    """Implements `Ground`: SQLite in memory, the store on the world's disk."""

    may_lock, requests = True, 0

    def __init__(self) -> None:
        self.table = self.seen = SqliteTable(":memory:")

    def hold(self, wall: float) -> None:
        """The disk of the world shows the world's own time."""

    def queue(self, wall: Callable[[], float], rng: Random) -> Queue:
        return SqliteQueue(self.table, "cpu", wall, rng)

    def store(self, files: Files, rng: Random) -> Store:
        return FileStore(Path("/lab/store"), files, rng)

    def records(self) -> dict[tuple[str, str], tuple[int, str, bytes]]:
        rows = self.table.execute("SELECT kind, id, version, tag, body FROM records "
                                  f"WHERE kind NOT IN {BESIDE}").fetchall()
        return {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}

    def held(self, disk: Disk) -> dict[str, bytes]:
        return {path.parent.name + path.name: data for path, data in disk.seen.items()
                if path.parent.parent.name == "objects" and not path.name.startswith(".aside")}
