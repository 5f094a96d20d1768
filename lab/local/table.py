"""The table on SQLite (WAL, synchronous=FULL): each record carries the hash of its bytes, checked at every read.

A session holds SQLite's write lock, so that many processes wait in line instead of losing races. `:memory:` is the
same code and is what the simulator uses.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.errors import Conflict, Damaged, Unavailable
from lab.table import Check, Key, Record, Write

FULL_BYTES = 1 << 20  # a disk with less than this left is full
BUSY_S = 10.0  # how long a writer waits in line for the database; well within a lease

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
  kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, tag TEXT NOT NULL,
  body BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (kind, id));
CREATE INDEX IF NOT EXISTS records_by_tag ON records (kind, tag, id);
"""
GET = "SELECT kind, id, version, body, tag, digest FROM records WHERE kind = ? AND id = ?"
VERSION = "SELECT version FROM records WHERE kind = ? AND id = ?"
PUT = "INSERT OR REPLACE INTO records (kind, id, version, tag, body, digest) VALUES (?, ?, ?, ?, ?, ?)"
DELETE = "DELETE FROM records WHERE kind = ? AND id = ?"
PAGE = ("SELECT kind, id, version, body, tag, digest FROM records"
        " WHERE kind = :kind {tagged} AND id {side} :after ORDER BY id {way} LIMIT :limit")
PAGES = {(tagged, newest): PAGE.format(tagged="AND tag = :tag" if tagged else "", side="<" if newest else ">",
                                       way="DESC" if newest else "ASC")
         for tagged in (True, False) for newest in (True, False)}
LAST = "\U0010ffff"  # sorts after every id


class SqliteTable:
    """Implements `lab.table.Table`. One instance belongs to one thread."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        with _plain_errors(self.path):
            self._db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            if self.path != ":memory:":
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(SCHEMA)
        self._depth = 0

    def close(self) -> None:
        self._db.close()

    def get(self, kind: str, id: str) -> Record | None:
        with _plain_errors(self.path):
            row = self._db.execute(GET, (kind, id)).fetchone()
        return None if row is None else _verified(row)

    def get_many(self, keys: Sequence[Key]) -> Sequence[Record]:
        return [record for key in keys if (record := self.get(*key)) is not None]

    def page(self, kind: str, *, tag: str | None = None, after: str = "", limit: int = 100,
             newest_first: bool = False) -> Sequence[Record]:
        bounds = {"kind": kind, "tag": tag, "after": after or (LAST if newest_first else ""), "limit": limit}
        with _plain_errors(self.path):
            rows = self._db.execute(PAGES[(tag is not None, newest_first)], bounds).fetchall()
        return [_verified(row) for row in rows]

    def commit(self, writes: Sequence[Write], checks: Sequence[Check] = (), *, label: str = "") -> None:
        with self.session(), _plain_errors(self.path):
            for write in writes:
                self._expect(write.kind, write.id, write.expected)
            for check in checks:
                self._expect(check.kind, check.id, check.expected)
            self._db.executemany(PUT, [_row(write.record()) for write in writes])

    def set(self, kind: str, id: str, body: bytes, tag: str = "") -> None:
        with self.session(), _plain_errors(self.path):
            self._db.execute(PUT, _row(Record(kind, id, 1, body, tag)))

    def delete(self, kind: str, ids: Iterable[str]) -> None:
        with self.session(), _plain_errors(self.path):
            self._db.executemany(DELETE, [(kind, id) for id in ids])

    @contextmanager
    def session(self) -> Iterator[None]:
        """Holds the write lock; nested sessions are one. Everything is undone if the block raises."""
        if self._depth:
            yield
            return
        with _plain_errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            with _plain_errors(self.path):
                self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """One statement of a neighbour that shares this file: the queue."""
        with _plain_errors(self.path):
            return self._db.execute(statement, values)

    def restore(self, record: Record) -> None:
        """Put a record as it was, version and all: for `aether doctor` alone."""
        with self.session(), _plain_errors(self.path):
            self._db.execute(PUT, _row(record))

    def _expect(self, kind: str, id: str, version: int) -> None:
        row = self._db.execute(VERSION, (kind, id)).fetchone()
        if (row[0] if row else 0) != version:
            raise Conflict(f"{kind} {id} was changed by another writer")


def _row(record: Record) -> tuple[str, str, int, str, bytes, bytes]:
    return record.kind, record.id, record.version, record.tag, record.body, record.digest()


def _record(row: tuple[str, str, int, bytes, str, bytes]) -> Record:
    kind, id, version, body, tag, _ = row
    return Record(kind, id, version, body, tag)


def _sound(row: tuple[str, str, int, bytes, str, bytes]) -> bool:
    """SQLite keeps a value's type beside it, so a flipped bit may make text of a body."""
    return isinstance(row[3], bytes) and _record(row).digest() == row[5]


def _verified(row: tuple[str, str, int, bytes, str, bytes]) -> Record:
    if not _sound(row):
        raise Damaged(f"the record {row[0]} {row[1]} is damaged; run `aether doctor --repair` to restore it "
                      f"from the journal")
    return _record(row)


def _full(path: str) -> bool:
    """SQLite needs a little room beside the database even to open it, and says only that it could not have it."""
    return Path(path).parent.is_dir() and shutil.disk_usage(Path(path).parent).free < FULL_BYTES


@contextmanager
def _plain_errors(path: str) -> Iterator[None]:
    """SQLite's errors in our tree, with the fix."""
    try:
        yield
    except sqlite3.OperationalError as error:
        said = str(error)
        if "decode" in said:  # text that is no UTF-8 any more
            raise Damaged(f"{path}: {said}; run `aether doctor --repair`") from error
        if "full" in said or ("disk I/O" in said and _full(path)):
            raise Unavailable(f"the disk of {path} is full; free some space, no finished work is lost") from error
        if "readonly" in said or "unable to open" in said:
            raise Unavailable(f"cannot write {path}; make the folder writable or choose another --backend") from error
        if "locked" in said or "busy" in said:
            raise Unavailable(f"{path} has been locked for {BUSY_S:.0f} s by another process") from error
        raise Unavailable(f"{path}: {said}") from error
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{path}: {error}; run `aether doctor --repair`") from error
