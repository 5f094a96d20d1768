"""The journal: it continues where it ended, finds the line that was hurt, and holds what the table holds."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.canonical import canonical_json
from lab.control import Change, Image
from lab.errors import Unavailable
from lab.files import SystemFiles
from lab.local.journal import Journal, good_lines, replay
from lab.local.table import SqliteTable
from support.laboratory import Laboratory


def change(n: int, note: str = "") -> Change:
    body = msgspec.Raw(canonical_json({"note": note}))
    return Change(n=n, at=1.5, action="propose", subject=f"e{n}", op_id=f"op{n}",
                  records=(Image("experiment", f"e{n}", 1, "proposed", body),))


def journal_of(path: Path, count: int) -> Journal:
    journal = Journal(path)
    journal.open()
    journal.append([change(n) for n in range(1, count + 1)])
    return journal


def numbers(path: Path) -> list[int]:
    return [line.change.n for line in good_lines(SystemFiles().lines(path))]


class FillingDisk(SystemFiles):
    """Has room for that many bytes, and then says so in the middle of a write."""

    def __init__(self, room: int) -> None:
        self.room = room

    def append(self, path: Path, data: bytes) -> None:
        super().append(path, data[:self.room])
        self.room -= len(data)
        if self.room < 0:
            raise Unavailable("the disk is full; free some space")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_a_new_journal_begins_at_nothing(path: Path) -> None:
    assert Journal(path).open() == 0
    assert not path.exists()


def test_changes_come_back_as_they_were_written(path: Path) -> None:
    written = [change(n, "ä\n\0 ") for n in (1, 2, 3)]
    Journal(path).append(written)
    assert [line.change for line in good_lines(SystemFiles().lines(path))] == written
    assert len(path.read_bytes().splitlines()) == 3


def test_changes_are_on_the_disk_before_they_count_as_written(
        path: Path, calls: list[tuple[str, str, int]]) -> None:
    """And what is cut off is gone from the disk before others are written in its place."""
    journal = journal_of(path, 2)
    assert calls == [("fsync", path.name, path.stat().st_size)]
    journal.append([change(3)])
    assert calls[1:] == [("fsync", path.name, path.stat().st_size)]
    with path.open("ab") as file:
        file.write(b"torn")
    journal.open()
    assert calls[2:] == [("fsync", path.name, path.stat().st_size)]


def test_a_journal_goes_on_where_it_ended(path: Path) -> None:
    journal_of(path, 2)
    later = Journal(path)
    assert later.open() == 2
    later.append([change(3)])
    assert (numbers(path), later.last) == ([1, 2, 3], 3)


def test_what_it_has_already_is_not_written_twice(path: Path) -> None:
    journal = journal_of(path, 2)
    journal.append([change(1), change(2), change(3)])
    journal.append([])
    assert numbers(path) == [1, 2, 3]


def test_a_missing_number_is_never_written_over(path: Path) -> None:
    journal = journal_of(path, 2)
    with pytest.raises(ValueError, match="4 does not follow"):
        journal.append([change(4)])
    assert (numbers(path), journal.last) == ([1, 2], 2)


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_torn_last_line_is_cut_off_and_written_again(path: Path, kept: int) -> None:
    journal_of(path, 3)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:kept])
    journal = Journal(path)
    assert journal.open() == 2
    assert path.read_bytes() == b"".join(lines[:2])
    journal.append([change(3)])
    assert path.read_bytes() == whole


@given(st.integers(0, 1200))
def test_a_disk_that_was_full_for_a_while_leaves_no_trace(
        tmp_path_factory: pytest.TempPathFactory, room: int) -> None:
    folder = tmp_path_factory.mktemp("journal")
    disk, every = FillingDisk(room), [change(n) for n in range(1, 6)]
    journal = Journal(folder / "journal.jsonl", disk)
    for n in range(1, 6):
        try:
            journal.append(every[:n])
        except Unavailable:
            disk.room = 10_000
            journal.append(every[:n])
    Journal(folder / "calm.jsonl").append(every)
    assert (folder / "journal.jsonl").read_bytes() == (folder / "calm.jsonl").read_bytes()


def test_a_line_that_was_edited_and_rehashed_alone_breaks_the_chain(path: Path) -> None:
    """Each hash covers the one before, so one line cannot be exchanged for another good one."""
    journal_of(path, 3)
    other = path.with_name("other")
    Journal(other).append([change(1, "forged")])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(other.read_bytes() + b"".join(lines[1:]))
    assert numbers(path) == [1]


def test_lines_that_were_swapped_or_left_out_are_found(path: Path) -> None:
    journal_of(path, 4)
    a, b, c, d = path.read_bytes().splitlines(keepends=True)
    for hurt, good in (([a, c, b, d], [1]), ([a, b, d], [1, 2]), ([b, c, d], [])):
        assert [line.change.n for line in good_lines(hurt)] == good


@given(st.data())
def test_a_flipped_bit_is_found_at_its_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    count = data.draw(st.integers(1, 6))
    journal_of(path, count)
    whole = path.read_bytes()
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    hurt = whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1:]
    path.write_bytes(hurt)
    line = whole[:at].count(b"\n")
    assert numbers(path) == list(range(1, line + 1))


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(0, 2000))
def test_however_it_was_stopped_it_ends_as_if_it_never_was(
        tmp_path_factory: pytest.TempPathFactory, steps: list[int], torn: int) -> None:
    """Appended in any portions, reopened in between, once with a torn tail: the bytes are those of one writing."""
    folder = tmp_path_factory.mktemp("journal")
    path, calm = folder / "journal.jsonl", folder / "calm.jsonl"
    every = [change(n) for n in range(1, sum(steps) + 2)]
    Journal(calm).append(every)
    done = 0
    for step in steps:
        journal = Journal(path)
        done = journal.open() + step
        journal.append(every[:done])
    if path.exists():
        path.write_bytes(path.read_bytes()[:torn])
    last = Journal(path)
    last.open()
    last.append(every)
    assert path.read_bytes() == calm.read_bytes()


def test_the_journal_of_a_busy_lab_adds_up_to_its_table(path: Path) -> None:
    lab, journal = Laboratory(SqliteTable(":memory:")), Journal(path)
    for _ in range(3):
        lab.end()
        journal.append(lab.ledger.changes(journal.last))
    lab.start()
    journal.append(lab.ledger.changes(journal.last, limit=2))
    journal.append(lab.ledger.changes(journal.last))
    rebuilt = replay(line.change for line in good_lines(SystemFiles().lines(path)))
    assert journal.last == lab.ledger.last_change()
    assert len([name for name in rebuilt if name[0] == "experiment"]) == 4
    for (kind, id), image in rebuilt.items():
        assert lab.table.get(kind, id) == image.record()
