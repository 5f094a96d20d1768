"""Tables to test against, named so that another process can open the same one, and one that misbehaves on purpose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import Unavailable
from lab.local.table import SqliteTable
from lab.table import Check, Key, Record, Table, Write

if TYPE_CHECKING:
    from support.servers import Endpoint


@dataclass(frozen=True)
class Place:
    """Where a table is: a SQLite path, or a table's name at an endpoint. The cloud's library is loaded only for the
    latter: sixteen processes open a place at once."""

    name: str
    endpoint: Endpoint | None = None

    def create(self) -> None:
        if self.endpoint is not None:
            from lab.aws.table import connect, create_table
            create_table(connect(**self.endpoint.settings), self.name)

    def open(self) -> Table:
        if self.endpoint is not None:
            from lab.aws.table import DynamoTable, connect
            return DynamoTable(connect(**self.endpoint.settings), self.name)
        return SqliteTable(self.name if self.name == ":memory:" else Path(self.name))


class LosesReplies:
    """A table behind a bad line, which locks no one out. `lose_next`: the next commit is written, but its reply is
    lost. `delay_next`: it is written only after that many more reads, when the caller has long given up on it."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.lose_next = False
        self.delay_next: int | None = None
        self._late: tuple[Sequence[Write], Sequence[Check]] | None = None

    def commit(self, writes: Sequence[Write], checks: Sequence[Check] = (), *, label: str = "") -> None:
        if self.delay_next is not None and self._late is None:
            self._late = (writes, checks)
            raise Unavailable("the line was cut before an answer came")
        self._table.commit(writes, checks, label=label)
        if self.lose_next:
            self.lose_next = False
            raise Unavailable("the reply was lost")

    def get(self, kind: str, id: str) -> Record | None:
        if self._late is not None and self.delay_next is not None:
            if self.delay_next == 0:
                self._table.commit(*self._late)
                self._late = self.delay_next = None
            else:
                self.delay_next -= 1
        return self._table.get(kind, id)

    def get_many(self, keys: Sequence[Key]) -> Sequence[Record]:
        return [record for key in keys if (record := self.get(*key)) is not None]

    def page(self, kind: str, *, tag: str | None = None, after: str = "", limit: int = 100,
             newest_first: bool = False) -> Sequence[Record]:
        return self._table.page(kind, tag=tag, after=after, limit=limit, newest_first=newest_first)

    def set(self, kind: str, id: str, body: bytes, tag: str = "") -> None:
        self._table.set(kind, id, body, tag)

    def delete(self, kind: str, ids: Iterable[str]) -> None:
        self._table.delete(kind, ids)

    def session(self) -> AbstractContextManager[None]:
        return nullcontext()
