"""Counts what a ground is asked for, as AWS bills it, whichever ground it is.

DynamoDB reads 4 KB a unit and writes 1 KB a unit, in a transaction each twice; a record with a tag is written to the
index too. Names and keys make an item larger than its body. S3 bills a copy or a listing as a write, a removal not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from math import ceil
from random import Random
from typing import Any

from simulator.disk import Disk
from simulator.ground import Ground

from lab.backend import Message, Queue, Store
from lab.files import Files
from lab.table import Check, Key, Record, Table, Write

READS, WRITES = "DynamoDB million reads", "DynamoDB million writes"
ITEM_BYTES = 150  # of names, keys, version and digest


class Metered:
    """Implements `simulator.ground.Ground` over another. `calls` go over the network, `units` are what is paid."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self.may_lock, self.seen, self.hold = ground, False, ground.seen, ground.hold
        self.calls, self.units = Counter[str](), Counter[str]()
        self.table = MeteredTable(ground.table, self)

    @property
    def requests(self) -> int:
        return self.calls.total()

    def called(self, operation: str, unit: str, units: float = 1.0) -> None:
        self.calls[operation] += 1
        self.units[unit] += units  # type: ignore[assignment]

    def queue(self, wall: Callable[[], float], rng: Random) -> Queue:
        return MeteredQueue(self._ground.queue(wall, rng), self)

    def store(self, files: Files, rng: Random) -> Store:
        return MeteredStore(self._ground.store(files, rng), self)  # type: ignore[return-value]

    def records(self) -> dict[tuple[str, str], tuple[int, str, bytes]]:
        return self._ground.records()

    def held(self, disk: Disk) -> dict[str, bytes]:
        return self._ground.held(disk)


class MeteredTable:
    def __init__(self, table: Table, meter: Metered) -> None:
        self._table, self._meter = table, meter

    def get(self, kind: str, id: str) -> Record | None:
        record = self._table.get(kind, id)
        self._meter.called("GetItem", READS, _read(record.body if record else b""))
        return record

    def get_many(self, keys: Sequence[Key]) -> Sequence[Record]:
        """What does not exist is billed as a read of the smallest size."""
        found = self._table.get_many(keys)
        for _ in range(ceil(len(keys) / 100)):
            self._meter.called("BatchGetItem", READS, 0)
        self._meter.units[READS] += sum(_read(one.body) for one in found) + len(keys) - len(found)
        return found

    def page(self, kind: str, *, tag: str | None = None, after: str = "", limit: int = 100,
             newest_first: bool = False) -> Sequence[Record]:
        found = self._table.page(kind, tag=tag, after=after, limit=limit, newest_first=newest_first)
        if tag is None:
            size = sum(len(record.body) + ITEM_BYTES for record in found)
            self._meter.called("Query", READS, max(ceil(size / 4096), 1))
        else:
            self._meter.called("Query", READS, max(ceil(len(found) * ITEM_BYTES / 4096), 1) / 2)
            if found:
                self._meter.called("BatchGetItem", READS, sum(_read(one.body) for one in found))
        return found

    def commit(self, writes: Sequence[Write], checks: Sequence[Check] = (), *, label: str = "") -> None:
        units = sum(_write(one.body) + (1 if one.tag else 0) for one in writes) + len(checks)
        self._meter.called("TransactWriteItems", WRITES, 2 * units)
        self._table.commit(writes, checks, label=label)

    def set(self, kind: str, id: str, body: bytes, tag: str = "") -> None:
        self._meter.called("PutItem", WRITES, _write(body))
        self._table.set(kind, id, body, tag)

    def delete(self, kind: str, ids: Iterable[str]) -> None:
        self._table.delete(kind, ids)

    def session(self) -> AbstractContextManager[None]:
        return self._table.session()


def _read(body: bytes) -> int:
    return ceil((len(body) + ITEM_BYTES) / 4096)


def _write(body: bytes) -> int:
    return ceil((len(body) + ITEM_BYTES) / 1024)


class MeteredQueue:
    def __init__(self, queue: Queue, meter: Metered) -> None:
        self._queue, self._meter = queue, meter

    def send(self, body: str) -> str:
        self._meter.called("SendMessage", "SQS million requests")
        return self._queue.send(body)

    def receive(self, invisible_s: float, wait_s: float = 0.0) -> Message | None:
        """A look into an empty queue is not counted: on an account it lasts ten seconds, here it is over at once."""
        found = self._queue.receive(invisible_s)
        if found is not None:
            self._meter.called("ReceiveMessage", "SQS million requests")
        return found

    def extend(self, message: Message, invisible_s: float) -> None:
        self._meter.called("ChangeMessageVisibility", "SQS million requests")
        self._queue.extend(message, invisible_s)

    def done(self, message: Message) -> None:
        self._meter.called("DeleteMessage", "SQS million requests")
        self._queue.done(message)

    def give_back(self, message: Message) -> None:
        self.send(message.body)
        self.done(message)

    def waiting(self) -> int:
        return self._queue.waiting()

    def visible(self) -> int:
        self._meter.called("GetQueueAttributes", "SQS million requests")
        return self._queue.visible()


class MeteredStore:
    """What the simulated phases and the worker ask of the store; all else goes through uncounted."""

    def __init__(self, store: Store, meter: Metered) -> None:
        self._store, self._meter = store, meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_bytes(self, data: bytes) -> str:
        """A copy onto itself makes it young; where that finds nothing it is sent."""
        self._meter.called("CopyObject", "S3 thousand writes")
        self._meter.called("PutObject", "S3 thousand writes")
        return self._store.put_bytes(data)

    def read(self, hash: str) -> bytes:
        self._meter.called("GetObject", "S3 thousand reads")
        return self._store.read(hash)

    def has(self, hash: str) -> bool:
        self._meter.called("HeadObject", "S3 thousand reads")
        return self._store.has(hash)

    def retire(self, hash: str, before: float) -> bool:
        self._meter.called("HeadObject", "S3 thousand reads")
        self._meter.called("ListObjectVersions", "S3 thousand writes")
        return self._store.retire(hash, before)
