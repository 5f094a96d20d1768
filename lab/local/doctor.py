"""The doctor of a lab on one machine: finds what is damaged in database and journal, and makes the lab whole again.

`examine` only reads. `repair` builds a fresh database from every sound row and the newest image that either file has
of each record, puts it in the damaged one's place, and keeps the damaged files aside. What can be had nowhere is
listed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from lab.control import Change
from lab.errors import Damaged, NotFound, UserError
from lab.files import sync_folder
from lab.local.journal import Journal
from lab.local.salvage import Key, Knowledge, Rows, change_record, head_record
from lab.local.store import FileStore
from lab.local.table import SqliteTable
from lab.transaction import HEAD

DATABASE, JOURNAL, STORE, DAEMON_LOCK = "ledger.db", "journal.jsonl", "store", "daemon.lock"
EPHEMERAL = frozenset({"beat"})  # heartbeats: set again every few seconds, and in no change
PAGE = 500


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `complaint` is SQLite's; `lost` are records that a change speaks of and the table has not."""

    complaint: str
    damaged: tuple[Key, ...]
    lost: tuple[Key, ...]
    changes: int  # number of the last change known
    lag: int  # changes that the journal has not yet
    bad_lines: int  # of the journal
    diverged: int | None  # the first change that the two files tell differently
    gaps: tuple[int, ...]  # changes that neither file holds

    @property
    def sound(self) -> bool:
        """A journal that lags is in order: the daemon catches up by itself."""
        return not (self.complaint or self.damaged or self.lost or self.bad_lines or self.gaps
                    or self.diverged is not None)


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """`restored` are records, each with the change that it was restored from; `not_restored` are lines for people."""

    restored: tuple[tuple[str, str, int], ...]
    not_restored: tuple[str, ...]
    kept_aside: str


def examine(folder: Path, pruned: int = 0) -> Examination:
    """Reads the whole database and the whole journal. `pruned` is the last change whose answers were swept."""
    return _examination(Knowledge(folder / DATABASE, folder / JOURNAL), pruned)


def repair(folder: Path, stamp: str, pruned: int = 0) -> Repair:
    """Make database and journal whole again; `stamp` names the folder in which the damaged ones are kept.

    Raises UserError while another process uses the lab, or where neither file holds anything."""
    with _alone(folder):
        known = Knowledge(folder / DATABASE, folder / JOURNAL)
        found = _examination(known, pruned)
        if not known.latest:
            raise UserError(f"neither {DATABASE} nor {JOURNAL} in {folder} can be read; "
                            f"restore the folder from a backup")
        aside = folder / f"damaged-{stamp}"
        fresh = folder / f"{DATABASE}.rebuilt"
        restored = _rebuild(folder / DATABASE, fresh, known, set(found.lost) - {HEAD})
        lines = tuple(_not_restored(found, known))
        _exchange(folder, fresh, aside)
        _mend_journal(folder, keep=not (found.bad_lines or found.diverged is not None))
    return Repair(restored=tuple(restored), not_restored=lines, kept_aside=str(aside))


def damaged_files(store: FileStore) -> list[str]:
    """Hashes of stored files whose bytes are others. Reads the whole store, one file at a time."""
    found = []
    for hash, _, _ in store.hashes():
        try:
            store.read(hash)
        except Damaged:
            found.append(hash)
        except NotFound:  # swept meanwhile
            continue
    return found


def set_aside(folder: Path, hashes: Sequence[str], stamp: str) -> None:
    """Damaged files out of the store, so that the same content can be stored again."""
    aside = folder / f"damaged-{stamp}"
    aside.mkdir(exist_ok=True)
    for hash in hashes:
        os.replace(folder / STORE / "objects" / hash[:2] / hash[2:], aside / hash)
    sync_folder(aside)


def _examination(known: Knowledge, pruned: int) -> Examination:
    return Examination(complaint=known.complaint, damaged=tuple(known.damaged), lost=tuple(known.lost(pruned)),
                       changes=known.last, lag=max(known.last - known.journal_last, 0), bad_lines=known.bad_lines,
                       diverged=known.diverged, gaps=tuple(known.gaps))


def _rebuild(old: Path, fresh: Path, known: Knowledge, lost: set[Key]) -> list[tuple[str, str, int]]:
    """A new database of the old one's sound rows and of the images of what is lost."""
    for leftover in (fresh, *_companions(fresh)):
        leftover.unlink(missing_ok=True)
    restored: list[tuple[str, str, int]] = []
    table = SqliteTable(fresh)
    with closing(table), table.session():
        for record in Rows(old):
            if record.version >= known.rows[record.kind, record.id] and (record.kind, record.id) not in lost | {HEAD}:
                table.restore(record)
        for n, record in known.images(lost):
            table.restore(record)
            restored.append((record.kind, record.id, n))
        for n in known.gaps:  # so that numbering goes on without a hole
            table.restore(change_record(Change(n=n, at=0.0, action="lost", subject="", op_id="", records=())))
        table.restore(head_record(known.last))
    return list(dict.fromkeys(restored))


def _not_restored(found: Examination, known: Knowledge) -> Iterator[str]:
    for kind, id in found.damaged:
        if (kind, id) not in known.latest and (kind, id) != HEAD and kind not in EPHEMERAL:
            yield f"a damaged row that calls itself {kind} {id!r}: no change knows it"
    for n in found.gaps:
        yield f"change {n}: in neither file; what it wrote last may be missing"
    for change in known.dropped_tail():
        yield (f"change {change.n} of the journal ({change.action} {change.subject}): the lab went on without it "
               f"after its database had lost it")


def _exchange(folder: Path, fresh: Path, aside: Path) -> None:
    """The damaged files are safe aside before the new one takes their place. A write-ahead log must never meet a
    database that it does not belong to."""
    aside.mkdir(exist_ok=True)
    old = folder / DATABASE
    for path in (old, *_companions(old), folder / JOURNAL):
        if path.exists():
            shutil.copy2(path, aside / path.name)
            with (aside / path.name).open("rb") as copy:
                os.fsync(copy.fileno())
    sync_folder(aside)
    for path in _companions(old):
        path.unlink(missing_ok=True)
    os.replace(fresh, old)
    sync_folder(folder)


def _mend_journal(folder: Path, keep: bool) -> None:
    """Continue the journal, or write it anew (a copy of the old one lies aside), up to the last change."""
    if not keep:
        (folder / JOURNAL).unlink()
    journal = Journal(folder / JOURNAL)
    journal.open()
    with closing(SqliteTable(folder / DATABASE)) as table:
        while page := _changes(table, journal.last):
            journal.append(page)


def _changes(table: SqliteTable, since: int) -> Sequence[Change]:
    records = table.page("change", after=f"{since:012d}", limit=PAGE)
    return [msgspec.json.decode(record.body, type=Change) for record in records]


def _companions(database: Path) -> tuple[Path, Path]:
    return database.with_name(f"{database.name}-wal"), database.with_name(f"{database.name}-shm")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No daemon starts meanwhile, and nobody has the database open: it would go on writing into the old one."""
    with (folder / DAEMON_LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("the laboratory is running; stop it with `aether stop` and repair then") from None
        if users := _users(folder / DATABASE):
            raise UserError(f"{DATABASE} is in use by process {', '.join(map(str, users))}; end it and repair then")
        yield


def _users(database: Path) -> list[int]:
    import psutil
    wanted, found = str(database.resolve()), list[int]()
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(file.path == wanted for file in process.open_files()):
                found.append(process.pid)
        except (psutil.Error, OSError):  # gone meanwhile, or another person's
            continue
    return found
