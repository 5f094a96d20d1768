"""A queue of hints on SQLite, beside the ledger's records. What it loses or repeats does no harm: leases decide."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from lab.backend import Message
from lab.local.table import SqliteTable

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, body TEXT NOT NULL,
  visible_at REAL NOT NULL, receipt TEXT NOT NULL DEFAULT '', received INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS messages_visible ON messages (queue, visible_at, id);
"""
MADE = "SELECT 1 FROM sqlite_master WHERE name = 'messages_visible'"
SEND = "INSERT INTO messages (queue, body, visible_at) VALUES (?, ?, ?)"
NEXT = "SELECT id, body, received FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY id LIMIT 1"
TAKE = "UPDATE messages SET visible_at = ?, receipt = ?, received = received + 1 WHERE id = ?"
EXTEND = "UPDATE messages SET visible_at = ? WHERE id = ? AND receipt = ?"
DONE = "DELETE FROM messages WHERE id = ? AND receipt = ?"
COUNT = "SELECT count(*) FROM messages WHERE queue = ?"
COUNT_VISIBLE = "SELECT count(*) FROM messages WHERE queue = ? AND visible_at <= ?"


class SqliteQueue:
    """Implements `lab.backend.Queue`. Visibility is timed on the wall clock of this one machine: a jump makes a hint
    early or late, never lost, because the daemon sends again what waits without being claimed."""

    def __init__(self, table: SqliteTable, name: str, wall: Callable[[], float], rng: Random | None = None) -> None:
        self._table, self._name, self._wall = table, name, wall
        self._rng = rng or Random()
        if table.execute(MADE).fetchone() is None:  # a reader of the lab should not take the write lock
            with table.session():
                for statement in SCHEMA.split(";\n"):
                    table.execute(statement)

    def send(self, body: str) -> str:
        with self._table.session():
            return str(self._table.execute(SEND, (self._name, body, self._wall())).lastrowid)

    def receive(self, invisible_s: float, wait_s: float = 0.0) -> Message | None:
        if not self._peek():  # most calls find nothing; they should not take the write lock
            return None
        with self._table.session():
            row = self._peek()
            if row is None:
                return None
            receipt = f"{self._rng.getrandbits(64):016x}"
            self._table.execute(TAKE, (self._wall() + invisible_s, receipt, row[0]))
        return Message(str(row[0]), row[1], receipt, row[2] + 1)

    def extend(self, message: Message, invisible_s: float) -> None:
        with self._table.session():
            self._table.execute(EXTEND, (self._wall() + invisible_s, int(message.id), message.receipt))

    def done(self, message: Message) -> None:
        with self._table.session():
            self._table.execute(DONE, (int(message.id), message.receipt))

    def give_back(self, message: Message) -> None:
        with self._table.session():
            self._table.execute(SEND, (self._name, message.body, self._wall()))
            self._table.execute(DONE, (int(message.id), message.receipt))

    def waiting(self) -> int:
        return int(self._table.execute(COUNT, (self._name,)).fetchone()[0])

    def visible(self) -> int:
        return int(self._table.execute(COUNT_VISIBLE, (self._name, self._wall())).fetchone()[0])

    def _peek(self) -> tuple[int, str, int] | None:
        row: tuple[int, str, int] | None = self._table.execute(NEXT, (self._name, self._wall())).fetchone()
        return row
