"""One process's way to the backend: its requests are lost or late, its replies are lost after the commit, others come
in between, and it is killed in the middle. The real tables and queues are behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from lab.backend import Message, Queue
from lab.errors import Conflict, Unavailable
from lab.table import Check, Key, Record, Write
from lab.transaction import HEAD

if TYPE_CHECKING:
    from simulator.world import World

T = TypeVar("T")


class Killed(BaseException):
    """The process is no more. Nothing of ours may catch it but the world."""


class Line:
    """Implements `lab.table.Table`. Where the world `locks`, a session keeps all others out, as SQLite does; else a
    decision may be overtaken between its reads and its commit, as on DynamoDB."""

    def __init__(self, world: World, owner: str) -> None:
        self._world, self._table, self._owner = world, world.table, owner
        self._wrote = ""
        self.cut_until = 0.0  # the process cannot reach the backend before that

    def get(self, kind: str, id: str) -> Record | None:
        self.reach()
        record = self._table.get(kind, id)
        if kind == "op" and record is not None:
            self._world.saw("answered again by op_id")
        return record

    def get_many(self, keys: Sequence[Key]) -> Sequence[Record]:
        self.reach()
        found = list(self._table.get_many([key for key in keys if key != HEAD]))
        if HEAD in keys:  # a decision's; the worst moment at which others can come between two of its reads
            self._overtaken()
            found += self._table.get_many([HEAD])
        if any(record.kind == "op" for record in found):
            self._world.saw("answered again by op_id")
        return sorted(found, key=lambda record: keys.index((record.kind, record.id)))

    def page(self, kind: str, *, tag: str | None = None, after: str = "", limit: int = 100,
             newest_first: bool = False) -> Sequence[Record]:
        self.reach()
        return self._table.page(kind, tag=tag, after=after, limit=limit, newest_first=newest_first)

    def commit(self, writes: Sequence[Write], checks: Sequence[Check] = (), *, label: str = "") -> None:
        self.request(label)
        self._overtaken()
        if not self._world.locks and self._world.strikes("request_late"):
            self._world.later(lambda: self._land(writes, checks, label), 60.0)
            raise Unavailable(f"{label}: no answer came")
        try:
            self._commit(writes, checks, label)
        except Conflict:
            self._world.saw("a lost race")
            raise
        self._wrote = label
        if not self._world.locks:
            self.reply()

    def set(self, kind: str, id: str, body: bytes, tag: str = "") -> None:
        self.request("set")
        self._table.set(kind, id, body, tag)
        self._world.beaten(kind, id)
        self._wrote = "set"
        self.reply()

    def delete(self, kind: str, ids: Iterable[str]) -> None:
        self.reach()
        self._table.delete(kind, ids)

    @contextmanager
    def session(self) -> Iterator[None]:
        self.reach()
        if not self._world.locks:
            yield
            return
        with self._table.session():
            yield
        self.reply()

    def _commit(self, writes: Sequence[Write], checks: Sequence[Check], label: str) -> None:
        try:
            self._table.commit(writes, checks, label=label)
        except (Conflict, Unavailable):
            if self._landed(writes):
                self._world.committed(self._owner, writes)
            raise
        self._world.committed(self._owner, writes)

    def _landed(self, writes: Sequence[Write]) -> bool:
        """Where a reply is lost below us, what is written all the same is ours: its change says so."""
        change = next(write for write in writes if write.kind == "change")
        record = self._world.ground.seen.get(change.kind, change.id)
        return record is not None and record.body == change.body

    def _overtaken(self) -> None:
        if not self._world.locks and not self._world.accidents.interleave(self._owner):
            raise Killed("while it stood still")

    def _land(self, writes: Sequence[Write], checks: Sequence[Check], label: str) -> None:
        try:
            self._commit(writes, checks, label)
            self._world.saw("a late request landed")
        except Conflict:
            self._world.saw("a late request was overtaken")

    def reach(self) -> None:
        if self._world.now < self.cut_until:
            raise Unavailable("the network is gone")

    def request(self, label: str) -> None:
        self.reach()
        if self._world.strikes("killed_at_write"):
            raise Killed(f"before {label}")
        if self._world.strikes("request_lost"):
            raise Unavailable(f"{label}: the request was lost")

    def reply(self, label: str = "") -> None:
        label, self._wrote = label or self._wrote, ""
        if label and self._world.strikes("killed_at_write"):
            raise Killed(f"after {label}")
        if label and self._world.strikes("reply_lost"):
            raise Unavailable(f"{label}: the reply was lost")


class MessyQueue:
    """Implements `lab.backend.Queue`: delivers twice, late, never, or to a process that is killed."""

    def __init__(self, world: World, line: Line, queue: Queue) -> None:
        self._world, self._line, self._queue = world, line, queue

    def send(self, body: str) -> str:
        self._line.request("send")
        self._world.dispatched(body)
        if self._world.strikes("message_lost"):
            return "lost"
        if self._world.strikes("message_doubled"):
            self._world.later(lambda: self._queue.send(body), 120.0)
        if self._world.strikes("message_late"):
            self._world.later(lambda: self._queue.send(body), 120.0)
            return "late"
        return self._answered(self._queue.send(body))

    def receive(self, invisible_s: float, wait_s: float = 0.0) -> Message | None:
        self._line.reach()
        message = self._queue.receive(invisible_s)
        return self._answered(message) if message is not None else None

    def extend(self, message: Message, invisible_s: float) -> None:
        self._line.reach()
        self._queue.extend(message, invisible_s)

    def done(self, message: Message) -> None:
        self._line.request("done")
        self._queue.done(message)
        self._answered(message)

    def give_back(self, message: Message) -> None:
        self._line.request("give back")
        self._queue.give_back(message)
        self._answered(message)

    def waiting(self) -> int:
        return self._queue.waiting()

    def visible(self) -> int:
        self._line.reach()
        return self._queue.visible()

    def _answered(self, answer: T) -> T:
        self._line.reply("queue")
        return answer
