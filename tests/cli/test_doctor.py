"""`aether doctor`: one line a finding with its fix; what is damaged is restored, or named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import clipset
from lab.backend import open_backend

Said = Callable[..., str]


def checks(out: str) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(out)["checks"]}


def look(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    from cli.main import run_command
    capsys.readouterr()
    code = run_command(["doctor", "--json", *words])
    return code, checks(capsys.readouterr().out)


def hurt(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_well_lab_is_said_to_be_well(lab: Path, said: Said) -> None:
    told = said("doctor")
    assert "all is well" in told
    for name in ("Python", "ffmpeg", "disk", "database", "records", "journal", "clips", "machine lock", "clock",
                 "track curve", "track codec", "files"):
        assert f"✓ {name}" in told


def test_a_machine_without_a_lab_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    code, found = look(capsys, "--backend", "local:nothing")
    assert code == 0
    assert found["ffmpeg"]["level"] == "ok"
    assert "none at" in found["laboratory"]["found"]
    assert not (tmp_path / "nothing").exists()


def test_a_damaged_record_is_found_repaired_and_the_lab_reads_again(lab: Path, said: Said,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(said("experiments", "list", "--json", "--limit", "100"))
    database = lab / "lab" / "ledger.db"
    open_backend("local:lab").ledger.table.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[attr-defined]
    hurt(database, database.read_bytes().find(b'"id":"e00002"') + 9)
    code, found = look(capsys)
    assert code == 1
    assert found["records"]["level"] == "bad"
    assert "--repair" in found["records"]["fix"]
    code, found = look(capsys, "--repair")
    assert (code, found["records"]["level"]) == (0, "ok")
    assert json.loads(said("experiments", "list", "--json", "--limit", "100")) == whole


@pytest.mark.parametrize("content", [b"", os.urandom(9999)], ids=["empty", "noise"])
def test_a_lab_whose_database_is_noise_is_built_again(content: bytes, lab: Path, said: Said,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(said("experiments", "list", "--json", "--limit", "100"))
    for path in (lab / "lab").glob("ledger.db-*"):
        path.unlink()
    (lab / "lab" / "ledger.db").write_bytes(content)
    code, found = look(capsys)
    assert code == 1
    assert found["laboratory" if content else "records"]["level"] == "bad"
    code, found = look(capsys, "--repair")
    assert code == 0
    assert "restored" in found
    assert json.loads(said("experiments", "list", "--json", "--limit", "100")) == whole


def test_a_run_goes_on_in_a_repaired_lab(lab: Path, said: Said) -> None:
    (lab / "lab" / "ledger.db").write_bytes(b"")
    for path in (lab / "lab").glob("ledger.db-*"):
        path.unlink()
    said("doctor", "--repair")
    from support.commands import command
    ran = command(lab, "run", "--experiments", "1", "--json")
    assert ran.returncode == 0, ran.stderr
    assert "all is well" in said("doctor")


def test_no_daemon_goes_on_from_a_database_that_lost_what_the_journal_holds(lab: Path, said: Said) -> None:
    """Else it would give the lost numbers to other changes, and the journal could not be told from the database."""
    from support.commands import command
    table = open_backend("local:lab").ledger.table
    last = open_backend("local:lab").ledger.last_change()
    table.delete("change", [f"{last:012d}"])
    table.execute("DELETE FROM records WHERE kind = 'head'")  # type: ignore[attr-defined]
    refused = command(lab, "orchestrate")
    assert refused.returncode == 1
    assert "aether doctor --repair" in refused.stderr
    said("doctor", "--repair")
    assert open_backend("local:lab").ledger.last_change() == last


def test_a_damaged_clip_is_named_set_aside_and_can_be_added_again(lab: Path, said: Said,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    store = open_backend("local:lab").store
    clip = next(clip for clip in clipset.load(store).clips if clip.role == "score")
    hurt(store.fetch(clip.hash), 3)
    code, found = look(capsys)
    assert code == 1
    assert f"clip {clip.name} does not match" in found["files"]["found"]
    look(capsys, "--repair")
    code, found = look(capsys)
    assert clip.name in found["clips"]["found"]
    assert "aether clips add" in found["clips"]["fix"]
    said("clips", "add", f"{clip.name}.csv", "--role", "score")
    assert "all is well" in said("doctor")


def test_a_folder_that_cannot_be_written_is_told_and_nothing_worse_is_claimed(
        lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs tests as root may write everywhere, so the system's answer is given here."""
    monkeypatch.setattr("cli.checks.os.access", lambda path, mode: False)
    code, found = look(capsys)
    assert code == 1
    assert "chmod" in found["folder"]["fix"]
    assert "records" not in found


def test_a_clock_that_went_back_is_told(lab: Path, capsys: pytest.CaptureFixture[str],
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.checks.time.time", lambda: 1_000_000_000.0)
    code, found = look(capsys)
    assert code == 1
    assert "behind the lab's last change" in found["clock"]["found"]


def test_a_clip_set_that_is_another_thing_is_found_and_told_by_every_command(
        lab: Path, capsys: pytest.CaptureFixture[str], said: Said) -> None:
    store = open_backend("local:lab").store
    store.swap("clips", store.pointer("clips"), store.put_bytes(b'{"clips": ["\xff"]}'))
    told = said("clips", "list", code=1)
    assert "is no clip set" in told
    assert told.count("\n") == 1
    code, found = look(capsys)
    assert code == 1
    assert "is no clip set" in found["clips"]["found"]


def test_every_metric_is_told_with_its_definition_and_source(lab: Path, said: Said) -> None:
    told = json.loads(said("doctor", "--metrics", "--json"))["tracks"]
    assert {metric["name"] for metric in told["curve"]} == {"coefficients", "fit_db", "fit_ms", "gain_line_db"}
    for track in told.values():
        assert all(metric["definition"] and metric["source"] for metric in track)
    assert "psnr_y_db" in said("doctor", "--metrics")
