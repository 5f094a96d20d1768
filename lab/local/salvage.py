"""What is left of a laboratory whose files were damaged: the rows that match their hashes, the changes that both the
journal and the database kept, and from these the newest image of each record.

Nothing here writes, and nothing is believed without its hash. Of two images of a record the one with the higher version
is the newer, wherever it was found. Bodies are never all in memory.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from lab.canonical import canonical_json
from lab.control import Change, Image
from lab.errors import Unavailable
from lab.files import SystemFiles
from lab.local.journal import sound_lines
from lab.table import Record
from lab.transaction import HEAD, key

Key = tuple[str, str]  # kind, id
SCAN = "SELECT kind, id, version, body, tag, digest FROM records ORDER BY rowid {way}"
FORMS = (str, str, int, bytes, str, bytes)


class Source(NamedTuple):
    """The newest image known of a record, and the change that holds it (0: only the row itself)."""

    version: int
    n: int


class Rows:
    """The sound records of a database file, as far as SQLite can read it. Once iterated, `damaged` names the others,
    and `complaint` is empty if the file itself is in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged: dict[Key, None] = {}
        self.complaint = ""

    def __iter__(self) -> Iterator[Record]:
        self.complaint = self._integrity()
        if not self._path.exists():
            return
        if not (yield from self._scan("ASC")):
            yield from self._scan("DESC")  # from the other end up to the damage; what comes twice does no harm

    def _integrity(self) -> str:
        """SQLite's full check: unlike the quick one it sees an index that leads past a record."""
        if not self._path.exists():
            return "the file is gone"
        if not os.access(self._path, os.R_OK):
            raise Unavailable(f"cannot read {self._path}; make it readable")
        try:
            with closing(_opened(self._path)) as db:
                said = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
                return "" if said == "ok" else said.replace("\n", " ")
        except sqlite3.DatabaseError as error:
            return _complaint(error, self._path)

    def _scan(self, way: str) -> Generator[Record, None, bool]:
        """Whether it came to the end."""
        try:
            with closing(_opened(self._path)) as db:
                for row in db.execute(SCAN.format(way=way)):
                    record = _sound(row)
                    if record is None:
                        self.damaged[str(row[0]), str(row[1])] = None
                    else:
                        yield record
        except sqlite3.DatabaseError as error:
            self.complaint = self.complaint or _complaint(error, self._path)
            return False
        return True


class Knowledge:
    """What both files together know. `latest` is the newest image of each record; the rest is what is wrong."""

    def __init__(self, database: Path, journal: Path) -> None:
        self._database, self._journal = database, journal
        self._learn(None)
        if self.diverged is not None:  # the lab went on from the database, so that is what counts
            self._learn(self.diverged)

    def _learn(self, journal_end: int | None) -> None:
        self.latest: dict[Key, Source] = {}
        self.rows: dict[Key, int] = {}  # version of each sound row
        self.bad_lines = self.journal_last = 0
        self.diverged: int | None = None if journal_end is None else journal_end
        self._end = journal_end
        journaled = self._read_journal()
        held = self._read_database(journaled)
        head = self.rows.get(HEAD, 0)
        self.last = max([head, *journaled, *held], default=0)
        self.gaps = [n for n in range(1, self.last + 1) if n not in journaled and n not in held]

    def _read_journal(self) -> dict[int, bytes]:
        """Number → digest of the change's own record."""
        found: dict[int, bytes] = {}
        for change in self._lines():
            if change is None:
                self.bad_lines += 1
                continue
            self.journal_last = max(self.journal_last, change.n)
            if self._end is None or change.n < self._end:
                found[change.n] = change_record(change).digest()
                self._see(change)
        return found

    def _read_database(self, journaled: dict[int, bytes]) -> set[int]:
        held: set[int] = set()
        rows = Rows(self._database)
        for record in rows:
            self.rows[record.kind, record.id] = max(record.version, self.rows.get((record.kind, record.id), 0))
            if record.kind == "change":
                n = int(record.id)
                held.add(n)
                if n not in journaled:
                    self._see(msgspec.json.decode(record.body, type=Change))
                elif journaled[n] != record.digest():
                    self.diverged = min(n, self.diverged or n)
        self.damaged, self.complaint = list(rows.damaged), rows.complaint
        return held

    def _see(self, change: Change) -> None:
        for image in (*change.records, _image(change_record(change))):
            known = self.latest.get((image.kind, image.id))
            if known is None or image.version > known.version:
                self.latest[image.kind, image.id] = Source(image.version, change.n)

    def lost(self, pruned: int) -> list[Key]:
        """Records that changes speak of and that the table holds no longer, or only as they were before. The answers
        of calls (`op`) up to change `pruned` were removed on purpose."""
        found = [key for key, source in self.latest.items() if source.version > self.rows.get(key, 0)
                 and not (key[0] == "op" and source.n <= pruned)]
        return found if self.rows.get(HEAD, 0) >= self.last else [*found, HEAD]

    def images(self, wanted: set[Key]) -> Iterator[tuple[int, Record]]:
        """The newest images of these records, each with the number of its change."""
        for change in self._changes():
            for image in (*change.records, _image(change_record(change))):
                place = (image.kind, image.id)
                if place in wanted and self.latest[place] == (image.version, change.n):
                    yield change.n, image.record()

    def dropped_tail(self) -> list[Change]:
        """What the journal holds from where the two parted."""
        return [change for change in self._lines() if change and self._end is not None and change.n >= self._end]

    def _changes(self) -> Iterator[Change]:
        """Those of the journal that count, and of the database those that the journal lacks: each once or twice."""
        for change in self._lines():
            if change is not None and (self._end is None or change.n < self._end):
                yield change
        for record in Rows(self._database):
            if record.kind == "change":
                yield msgspec.json.decode(record.body, type=Change)

    def _lines(self) -> Iterator[Change | None]:
        if self._journal.exists():
            yield from sound_lines(SystemFiles().lines(self._journal))


def change_record(change: Change) -> Record:
    """A change as the ledger's table holds it."""
    return Record("change", key(change.n), 1, canonical_json(change))


def head_record(n: int) -> Record:
    return Record(*HEAD, n, canonical_json({"n": n}))


def _image(record: Record) -> Image:
    return Image(record.kind, record.id, record.version, record.tag, msgspec.Raw(record.body))


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"file:{path.resolve()}?mode=ro", uri=True, timeout=10)
    db.text_factory = lambda text: text.decode(errors="replace")  # a flipped byte need not be UTF-8 any more
    return db


def _complaint(error: sqlite3.DatabaseError, path: Path) -> str:
    """What SQLite says of the file; a lock says nothing of it."""
    if "locked" in str(error) or "busy" in str(error):
        raise Unavailable(f"{path} is locked by another process; try again") from error
    return str(error)


def _sound(row: tuple[object, ...]) -> Record | None:
    if not all(isinstance(value, form) for value, form in zip(row, FORMS, strict=True)):
        return None
    kind, id, version, body, tag, digest = row
    record = Record(kind, id, version, body, tag)  # type: ignore[arg-type]  # checked just above
    return record if record.digest() == digest else None
