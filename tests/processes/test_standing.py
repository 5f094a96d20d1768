"""A daemon that stays: it rests when its run has ended, sends no second report, and goes on at a person's word."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from lab.backend import open_backend
from support.commands import command, started, until, write_laboratory

pytestmark = pytest.mark.ci


def test_a_daemon_that_stays_rests_after_its_run_and_begins_another_at_a_persons_word(tmp_path: Path) -> None:
    write_laboratory(tmp_path)
    settings = tmp_path / "aether.toml"
    settings.write_text(settings.read_text().replace("[limits]\n", "[limits]\nminutes = 0.02\n"))
    for words in (("settings", "push"), ("clips", "add", "points.csv"), ("clips", "add", "held_out.csv")):
        done = command(tmp_path, *words)
        assert done.returncode == 0, done.stderr
    office = open_backend(f"local:{tmp_path / 'lab'}").ledger.office

    def keys() -> list[str]:
        return sorted(report.key for report in office.reports())

    def rests() -> bool:
        lease = office.lease()
        return lease is not None and not lease.holder

    with started(tmp_path, "orchestrate", "--standing") as daemon:
        until(rests, "the end of the first run")
        assert keys() == ["end-1"]
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60.0) == 0
    with started(tmp_path, "orchestrate", "--standing") as daemon:
        assert daemon.stderr is not None
        assert "rests" in daemon.stderr.readline()
        assert keys() == ["end-1"]
        assert command(tmp_path, "resume").returncode == 0
        until(lambda: keys() == ["end-1", "end-2"] and rests(), "another run and its end")
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60.0) == 0
