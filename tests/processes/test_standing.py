"""A daemon that stays: it rests when its run has ended, sends no second report, and goes on at a person's word. Told to
go in the middle of a run, it takes nothing with it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lab.backend import Backend, open_backend
from support.commands import command, family, gone, started, until, write_laboratory

pytestmark = pytest.mark.ci


def laboratory(folder: Path, *limits: str) -> Backend:
    """With these lines among its limits, and no limit to its run but theirs."""
    write_laboratory(folder)
    settings = folder / "aether.toml"
    kept = [line for line in settings.read_text().splitlines() if line.split(" ")[0] not in
            {limit.split(" ")[0] for limit in limits}]
    settings.write_text("\n".join(kept).replace("[limits]\n", "\n".join(("[limits]", *limits, ""))))
    for words in (("settings", "push"), ("clips", "add", "points.csv"), ("clips", "add", "held_out.csv")):
        done = command(folder, *words)
        assert done.returncode == 0, done.stderr
    return open_backend(f"local:{folder / 'lab'}")


def test_a_daemon_that_stays_rests_after_its_run_and_begins_another_at_a_persons_word(tmp_path: Path) -> None:
    office = laboratory(tmp_path, "minutes = 0.02").ledger.office

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


def test_a_daemon_that_stays_waits_for_footage_and_any_other_ends_with_the_one_line_that_says_how_to_add_it(
        tmp_path: Path) -> None:
    write_laboratory(tmp_path)
    assert command(tmp_path, "settings", "push").returncode == 0
    fix = "no clip to score on; add one with `aether clips add FILE --role score`"
    other = command(tmp_path, "orchestrate")
    assert (other.returncode, other.stderr.count("\n"), fix in other.stderr) == (2, 1, True)
    assert fix in command(tmp_path, "status").stdout
    assert json.loads(command(tmp_path, "status", "--json").stdout)["waits_for"] == "footage"
    for number in (signal.SIGTERM, signal.SIGINT):
        with started(tmp_path, "orchestrate", "--standing") as daemon:
            assert daemon.stderr is not None
            assert fix in daemon.stderr.readline()
            daemon.send_signal(number)
            assert daemon.wait(60.0) == 0
    with started(tmp_path, "orchestrate", "--standing") as daemon:
        assert daemon.stderr is not None
        assert fix in daemon.stderr.readline()
        assert command(tmp_path, "clips", "add", "held_out.csv").returncode == 0
        until(open_backend(f"local:{tmp_path / 'lab'}").ledger.office.lease, "the first run")
    assert fix not in command(tmp_path, "status").stdout


def halted_at_work(lab: Backend, worker: subprocess.Popen[str]) -> tuple[str, list[psutil.Process]]:
    """The experiment that the worker is at, and the processes of its phase, which stand still. The worker itself does
    not: it might hold the database's lock."""
    halted = list[psutil.Process]()

    def stands() -> bool:
        halted[:] = family(worker.pid) if lab.ledger.experiments("running") else []
        signalled(halted, signal.SIGSTOP)
        time.sleep(0.3)  # what had ended already is heard of
        if halted and not gone(halted) and lab.ledger.experiments("running"):
            return True
        signalled(halted, signal.SIGCONT)
        return False
    until(stands, "a phase at work", pause_s=0.01)
    (experiment,) = lab.ledger.experiments("running")
    return experiment.id, halted


def signalled(processes: list[psutil.Process], number: int) -> None:
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(number)


def test_a_daemon_that_stays_and_is_told_to_go_leaves_its_run_and_the_work_to_the_next(tmp_path: Path) -> None:
    lab = laboratory(tmp_path, "lease_s = 120.0", "beat_s = 1.0", "grace_s = 10.0")
    office = lab.ledger.office
    with started(tmp_path, "work") as worker:
        with started(tmp_path, "orchestrate", "--standing") as daemon:
            id, phase = halted_at_work(lab, worker)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(60.0) == 0
            assert daemon.stdout is not None
            assert "the run goes on" in daemon.stdout.read()
        with started(tmp_path, "orchestrate", "--standing") as heir:
            until(lambda: (lease := office.lease()) is not None and lease.holder, "the next daemon")
            signalled(phase, signal.SIGCONT)
            until(lambda: lab.ledger.experiment(id).state == "finished", "the end of the attempt")
            until(lambda: id in {entry.experiment for entry in lab.ledger.accounts.entries()}, "its bill")
            heir.send_signal(signal.SIGTERM)
            assert heir.wait(60.0) == 0
    assert [attempt.ending for attempt in lab.ledger.experiment(id).attempts] == ["finished"]
    lease = office.lease()
    assert lease is not None
    assert (lease.epoch, lease.run, lease.goes_on) == (2, 1, True)
    assert (office.control().stop, [report.key for report in office.reports()]) == ("", [])
    assert [one.key for one in lab.ledger.accounts.open_reservations() if one.what == "overhead"] == []
