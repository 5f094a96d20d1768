"""What only the local table does: finds damage in its file, locks others out, and says plainly what is wrong."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from lab.errors import Conflict, Damaged, Unavailable
from lab.local.table import SqliteTable
from lab.table import Write
from support.small_disk import fill, small_disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def table(path: Path) -> SqliteTable:
    table = SqliteTable(path)
    table.commit([Write("thing", id, 0, b'{"x":1}', "open") for id in "abc"])
    return table


def hurt(path: Path, change: str) -> None:
    """As a bad disk would: behind the table's back."""
    with sqlite3.connect(path) as database:
        database.execute(f"UPDATE records SET {change} WHERE id = 'b'")
    database.close()


@pytest.mark.parametrize("change", ["body = CAST('{\"x\":2}' AS BLOB)", "version = 2", "tag = 'closed'",
                                    "digest = x'00'"])
def test_a_flipped_byte_is_found_on_reading_and_hurts_no_neighbour(table: SqliteTable, path: Path, change: str) -> None:
    hurt(path, change)
    with pytest.raises(Damaged, match="aether doctor --repair"):
        table.get("thing", "b")
    with pytest.raises(Damaged):
        table.page("thing")
    record = table.get("thing", "a")
    assert record is not None
    assert record.body == b'{"x":1}'


def test_a_file_that_is_no_database_says_so(path: Path) -> None:
    path.write_bytes(b"this is a letter to my aunt, and no database at all" * 100)
    with pytest.raises(Damaged, match="aether doctor"):
        SqliteTable(path)


def test_everything_in_a_session_is_undone_when_it_fails(table: SqliteTable) -> None:
    def decide() -> None:
        with table.session():
            table.commit([Write("thing", "d", 0, b"{}")])
            table.set("beat", "x", b"{}")
            table.commit([Write("thing", "a", 7, b"{}")])

    with pytest.raises(Conflict):
        decide()
    assert ([record.id for record in table.page("thing")], table.get("beat", "x")) == (["a", "b", "c"], None)
    table.commit([Write("thing", "d", 0, b"{}")])


def test_a_session_shows_nothing_to_others_before_it_ends(table: SqliteTable, path: Path) -> None:
    other = SqliteTable(path)
    with table.session():
        table.commit([Write("thing", "d", 0, b"{}")])
        assert other.get("thing", "d") is None
    assert other.get("thing", "d") is not None


def test_what_was_committed_is_there_after_the_process_died(table: SqliteTable, path: Path) -> None:
    """The child is killed right after its commit, with no chance to close anything."""
    child = os.fork()
    if child == 0:
        SqliteTable(path).commit([Write("thing", "d", 0, b"{}")])
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert SqliteTable(path).get("thing", "d") is not None


def test_every_change_waits_for_the_disk(table: SqliteTable) -> None:
    assert table.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert table.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_folder_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="choose another --backend"):
        SqliteTable(tmp_path / "none" / "ledger.db")


def test_a_full_disk_says_that_nothing_finished_is_lost(table: SqliteTable) -> None:
    pages = table.execute("PRAGMA page_count").fetchone()[0]
    table.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable, match="free some space"):
        table.commit([Write("thing", "big", 0, b"x" * 100_000)])
    table.execute("PRAGMA max_page_count = 1000000")
    assert [record.id for record in table.page("thing")] == ["a", "b", "c"]
    table.commit([Write("thing", "d", 0, b"{}")])


def test_a_database_that_cannot_be_opened_on_a_full_disk_says_so_and_opens_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", mb=2) as disk:
        table = SqliteTable(disk / "ledger.db")
        table.commit([Write("thing", "a", 0, b"{}")])
        table.close()
        filler = fill(disk)
        with pytest.raises(Unavailable, match=r"the disk of .*ledger\.db is full; free some space"):
            SqliteTable(disk / "ledger.db")
        filler.unlink()
        opened = SqliteTable(disk / "ledger.db")
        assert [record.id for record in opened.page("thing")] == ["a"]
        opened.close()


def test_a_file_that_someone_else_holds_for_long_says_so(
        table: SqliteTable, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.local.table.BUSY_S", 0.05)
    waiting = SqliteTable(path)
    with table.session(), pytest.raises(Unavailable, match="locked"):
        waiting.commit([Write("thing", "d", 0, b"{}")])
    waiting.commit([Write("thing", "d", 0, b"{}")])
