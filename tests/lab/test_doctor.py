"""The doctor: whatever byte of database or journal is hurt, the state comes back, or what did not is named."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from lab.clock import SystemClock
from lab.errors import AetherError, UserError
from lab.ledger import Ledger
from lab.local.backend import assemble
from lab.local.doctor import examine, repair
from lab.local.journal import Journal
from lab.local.salvage import Rows
from lab.local.table import SqliteTable
from support.laboratory import Laboratory

DATABASE, JOURNAL = "ledger.db", "journal.jsonl"
EPHEMERAL = ("beat",)


def fill(folder: Path, experiments: int, journaled: bool = True) -> None:
    """A laboratory with ended, running and waiting experiments; its journal has everything unless told otherwise."""
    with closing(SqliteTable(folder / DATABASE)) as table:
        laboratory = Laboratory(table)
        for _ in range(experiments):
            laboratory.end()
        laboratory.start()
        laboratory.propose()
        laboratory.office.beat_daemon(laboratory.epoch, 3)
        assemble(table, folder, SystemClock()).queues["cpu"].send("e0001")
        if journaled:
            write_journal(folder, laboratory.ledger)


def write_journal(folder: Path, ledger: Ledger) -> None:
    journal = Journal(folder / JOURNAL)
    journal.open()
    while changes := ledger.changes(journal.last):
        journal.append(changes)


def state(folder: Path) -> dict[tuple[str, str], bytes]:
    """Every record that a change wrote, by the ledger's own reading."""
    rows = Rows(folder / DATABASE)
    return {(record.kind, record.id): record.digest() for record in rows if record.kind not in EPHEMERAL}


def flip(path: Path, place: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


def execute(folder: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as db, db:
        db.execute(statement, values)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("healthy")
    fill(folder, experiments=12)
    return folder


@pytest.fixture
def lab(healthy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(healthy, tmp_path / "lab"))


def test_a_sound_lab_is_found_sound(lab: Path) -> None:
    found = examine(lab)
    assert found.sound
    assert found.lag == 0
    assert found.changes > 50


def test_one_flipped_byte_anywhere_in_the_database_loses_nothing(healthy: Path, tmp_path: Path) -> None:
    whole, seed = state(healthy), Random().randrange(1 << 32)
    print(f"seed {seed}")
    random, size, hurt = Random(seed), (healthy / DATABASE).stat().st_size, 0
    for turn in range(60):
        lab = Path(shutil.copytree(healthy, tmp_path / str(turn)))
        flip(lab / DATABASE, random.randrange(100 if turn % 4 == 0 else size), random.randrange(8))
        if not examine(lab).sound:
            hurt += 1
            repair(lab, "now")
            assert examine(lab).sound
        assert state(lab) == whole
        shutil.rmtree(lab)
    assert hurt > 5


def test_a_flipped_byte_in_the_write_ahead_log_of_a_killed_lab_loses_nothing(tmp_path: Path) -> None:
    """SQLite drops what follows a damaged frame and says nothing: the journal alone knows what was there."""
    killed = tmp_path / "killed"
    killed.mkdir()
    with closing(SqliteTable(killed / DATABASE)) as table:
        laboratory = Laboratory(table)
        for _ in range(6):
            laboratory.end()
        write_journal(killed, laboratory.ledger)
        whole, seed, hurt = state(killed), Random().randrange(1 << 32), 0
        print(f"seed {seed}")
        random, size = Random(seed), (killed / f"{DATABASE}-wal").stat().st_size
        for turn in range(12):
            lab = Path(shutil.copytree(killed, tmp_path / str(turn), ignore=shutil.ignore_patterns("*-shm")))
            flip(lab / f"{DATABASE}-wal", random.randrange(size), random.randrange(8))
            if not examine(lab).sound:
                hurt += 1
                repair(lab, "now")
            assert state(lab) == whole
    assert hurt > 3


def test_a_flipped_byte_in_a_body_is_found_by_its_hash_and_restored_from_the_journal(lab: Path) -> None:
    whole = state(lab)
    execute(lab, "UPDATE records SET body = CAST(replace(body, '38.5', '98.5') AS BLOB)"
                 " WHERE kind = 'experiment' AND id = 'e0003'")
    assert ("experiment", "e0003") in examine(lab).damaged
    with pytest.raises(AetherError, match="doctor"):
        Ledger(SqliteTable(lab / DATABASE), SystemClock()).experiment("e0003")
    done = repair(lab, "now")
    assert [record[:2] for record in done.restored] == [("experiment", "e0003")]
    assert done.not_restored == ()
    assert state(lab) == whole
    assert (lab / "damaged-now" / DATABASE).exists()


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 1000], ids=["empty", "overwritten"])
def test_a_database_that_is_gone_is_built_again_from_the_journal(lab: Path, damage: bytes) -> None:
    whole = state(lab)
    (lab / DATABASE).write_bytes(damage)
    repair(lab, "now")
    assert state(lab) == whole


def test_a_lab_whose_database_was_deleted_is_built_again(lab: Path) -> None:
    whole = state(lab)
    (lab / DATABASE).unlink()
    assert examine(lab).complaint
    repair(lab, "now")
    assert state(lab) == whole


def test_a_page_of_noise_costs_nothing_that_the_journal_has(lab: Path) -> None:
    whole, page = state(lab), 4096
    for number in (2, 5, 9):
        data = bytearray((lab / DATABASE).read_bytes())
        data[number * page:(number + 1) * page] = Random(number).randbytes(page)
        (lab / DATABASE).write_bytes(data)
    repair(lab, "now")
    assert state(lab) == whole


def test_an_index_that_leads_past_a_record_is_found(lab: Path) -> None:
    whole = state(lab)
    data = (lab / DATABASE).read_bytes()
    first, last = data.find(b"experimente0004"), data.rfind(b"experimente0004")
    assert first != last  # the row, and its entry in the index
    for place in {first, last}:
        flip(lab / DATABASE, place + len(b"experimente000"), 6)
    assert not examine(lab).sound
    repair(lab, "now")
    assert state(lab) == whole


def test_what_the_write_ahead_log_lost_comes_back_from_the_journal(lab: Path) -> None:
    whole = state(lab)
    execute(lab, "DELETE FROM records WHERE kind = 'change' AND id > '000000000040'")
    execute(lab, "DELETE FROM records WHERE kind = 'experiment' AND id >= 'e0009'")
    assert ("experiment", "e0010") in examine(lab).lost
    repair(lab, "now")
    assert state(lab) == whole


def test_changes_that_the_journal_has_not_yet_are_kept_and_added_to_it(tmp_path: Path) -> None:
    fill(tmp_path, experiments=2)
    whole_journal = (tmp_path / JOURNAL).read_bytes()
    lines = whole_journal.splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join(lines[:-9]))
    whole = state(tmp_path)
    execute(tmp_path, "UPDATE records SET body = '{}' WHERE kind = 'experiment' AND id = 'e0001'")
    assert examine(tmp_path).lag == 9
    repair(tmp_path, "now")
    assert state(tmp_path) == whole
    assert (tmp_path / JOURNAL).read_bytes() == whole_journal


def test_a_lagging_journal_alone_is_no_fault(tmp_path: Path) -> None:
    fill(tmp_path, experiments=1, journaled=False)
    found = examine(tmp_path)
    assert found.sound
    assert found.lag == found.changes


def test_a_damaged_line_of_the_journal_is_found_and_written_anew(lab: Path) -> None:
    whole = (lab / JOURNAL).read_bytes()
    flip(lab / JOURNAL, len(whole) // 3, 1)
    found = examine(lab)
    assert found.bad_lines in (1, 2)
    assert not found.gaps
    repair(lab, "now")
    assert (lab / JOURNAL).read_bytes() == whole
    assert (lab / "damaged-now" / JOURNAL).read_bytes() != whole


def test_a_last_line_that_is_being_written_is_no_damage(lab: Path) -> None:
    whole = (lab / JOURNAL).read_bytes()
    (lab / JOURNAL).write_bytes(whole[:-30])
    found = examine(lab)
    assert found.sound
    assert found.lag == 1


def test_damage_in_both_files_is_mended_where_they_do_not_coincide(lab: Path) -> None:
    whole = state(lab)
    flip(lab / JOURNAL, (lab / JOURNAL).stat().st_size // 2, 0)
    execute(lab, "UPDATE records SET body = '{}' WHERE kind = 'experiment' AND id = 'e0002'")
    assert repair(lab, "now").not_restored == ()
    assert state(lab) == whole


def test_what_neither_file_holds_is_named_and_the_rest_lives(lab: Path) -> None:
    execute(lab, "UPDATE records SET body = '{}' WHERE kind = 'change' AND id = '000000000020'")
    lines = (lab / JOURNAL).read_bytes().splitlines(keepends=True)
    (lab / JOURNAL).write_bytes(b"".join([*lines[:19], b"0" * 60 + b"\n", *lines[20:]]))
    done = repair(lab, "now")
    assert any("change 20" in line for line in done.not_restored)
    assert examine(lab).sound
    with closing(SqliteTable(lab / DATABASE)) as table:
        numbers = [change.n for change in Ledger(table, SystemClock()).changes(0)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_lab_that_went_on_after_a_loss_keeps_its_present_and_names_what_the_journal_had(lab: Path) -> None:
    lost = sum(1 for _ in (lab / JOURNAL).open()) - 10
    execute(lab, "DELETE FROM records WHERE kind = 'change' AND id > ?", f"{lost:012d}")
    with closing(SqliteTable(lab / DATABASE)) as table:
        ledger = Ledger(table, SystemClock())
        head = table.get("head", "changes")
        assert head is not None
        table.restore(head.__class__(head.kind, head.id, lost, b'{"n":%d}' % lost))
        ledger.office.set_control(paused=True, op_id="after-the-loss")
    found = examine(lab)
    assert found.diverged == lost + 1
    done = repair(lab, "now")
    assert len([line for line in done.not_restored if "the lab went on without it" in line]) == 10
    assert examine(lab).sound
    with closing(SqliteTable(lab / DATABASE)) as table:
        assert Ledger(table, SystemClock()).office.control().paused


def test_answers_that_were_swept_away_are_no_loss(lab: Path) -> None:
    execute(lab, "DELETE FROM records WHERE kind = 'op' AND id < 'op-0010'")
    assert not examine(lab).sound
    assert examine(lab, pruned=examine(lab).changes).sound


def test_a_lab_that_somebody_uses_is_not_touched(lab: Path) -> None:
    holder = ("import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('PRAGMA quick_check'); "
              "print('open', flush=True); sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", holder, str(lab / DATABASE)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(UserError, match=f"in use by process {process.pid}"):
            repair(lab, "now")
        process.communicate(b"")
    assert not (lab / "damaged-now").exists()


def test_two_files_of_noise_end_in_one_clear_line(tmp_path: Path) -> None:
    for name in (DATABASE, JOURNAL):
        (tmp_path / name).write_bytes(b"noise" * 999)
    with pytest.raises(UserError, match="backup"):
        repair(tmp_path, "now")
