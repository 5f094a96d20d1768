"""Real daemons and workers in trouble: a second daemon, a disk that is full, a clip that is gone, a folder that cannot
be written, settings that change. Each says what is wrong, and no finished work is lost."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lab.clipset import load
from lab.experiment import Experiment
from support.curve.lab import Crew, CurveLab
from support.small_disk import fill, small_disk

PATIENCE_S = 120.0  # a hang, not a time to be met
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1  # <linux/prctl.h>, <linux/capability.h>


@pytest.fixture
def lab(tmp_path: Path) -> CurveLab:
    return CurveLab(tmp_path / "lab", experiments=3)


@pytest.fixture
def daemon(lab: CurveLab) -> Iterator[subprocess.Popen[bytes]]:
    process = lab.daemon()
    yield process
    process.kill()
    process.wait()


def wait_until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def ended(lab: CurveLab) -> list[Experiment]:
    return list(lab.open().ledger.all_experiments("finished"))


def said(process: subprocess.Popen[bytes]) -> str:
    return process.communicate(timeout=PATIENCE_S)[0].decode()


def test_a_second_daemon_refuses_and_says_who_holds_the_lab(lab: CurveLab, daemon: subprocess.Popen[bytes]) -> None:
    wait_until(lambda: lab.open().ledger.office.lease(), "a daemon leads")
    second = lab.daemon()
    words = said(second)
    assert second.returncode != 0
    assert f"(pid {daemon.pid} on {os.uname().nodename}) holds this lab" in words
    assert daemon.poll() is None


def test_a_full_disk_is_said_and_waited_for(lab: CurveLab) -> None:
    """A limit on the size of files stands in for a disk that is full: the kernel refuses each write beyond it."""
    crew = Crew(lab)
    try:
        wait_until(lambda: ended(lab), "a first result")
        kept = ended(lab)[0]
        limit = (lab.folder / "journal.jsonl").stat().st_size
        psutil.Process(crew.daemon.pid).rlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        journal = limit
        time.sleep(2.0)
        assert crew.daemon.poll() is None, "a daemon must not die of a full disk"
        assert (lab.folder / "journal.jsonl").stat().st_size == journal
        psutil.Process(crew.daemon.pid).rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except BaseException:
        crew.go_home()
        raise
    assert crew.run() == "the run is complete"
    assert "File too large" in crew.words or "full" in crew.words
    assert kept.id in {experiment.id for experiment in ended(lab)}


@pytest.mark.ci
def test_on_a_disk_that_is_really_full_all_wait_and_nothing_is_lost(tmp_path: Path) -> None:
    """The folder of the lab lies on a disk of its own, which is filled to the last byte in the middle of the work."""
    with small_disk(tmp_path / "disk", mb=24) as disk:
        lab = CurveLab(disk / "lab", experiments=3)
        crew = Crew(lab)
        try:
            wait_until(lambda: ended(lab), "a first result")
            filler = fill(disk)
            kept = ended(lab)
            time.sleep(6.0)
            assert (crew.daemon.poll(), crew.worker.poll()) == (None, None), "nobody dies of a full disk"
            filler.unlink()
        except BaseException:
            crew.go_home()
            raise
        assert crew.run() == "the run is complete"
        now = {experiment.id: experiment.outcome for experiment in ended(lab)}
        assert all(now[experiment.id] == experiment.outcome for experiment in kept)
        assert sum(e.purpose == "explore" for e in ended(lab)) >= 3
        assert {e.outcome.reason for e in ended(lab) if e.outcome} <= {None, "harness_fault"}, "no candidate is blamed"
        assert "is full; free some space, no finished work is lost" in crew.words


def test_a_clip_that_is_gone_is_the_harness_s_fault_and_costs_no_finished_work(lab: CurveLab) -> None:
    crew = Crew(lab)
    try:
        wait_until(lambda: ended(lab), "a first result")
        kept = ended(lab)[0]
        store = lab.open().store
        store.remove(next(clip.hash for clip in load(store).clips if clip.role == "score"))
    except BaseException:
        crew.go_home()
        raise
    why = crew.run()  # whether it gives up or is done depends on how much was left to do
    assert why == "the run is complete" or why.startswith("the harness failed 5 times in a row: the store has no file")
    assert lab.open().ledger.experiment(kept.id).outcome == kept.outcome
    blamed = [e.outcome for e in ended(lab) if e.outcome is not None and e.outcome.verdict == "failed"]
    assert blamed
    assert {outcome.reason for outcome in blamed} == {"harness_fault"}
    assert all("the store has no file" in outcome.detail for outcome in blamed)


def test_a_folder_that_cannot_be_written_is_said_in_one_line(lab: CurveLab) -> None:
    allow(lab.folder, folders=0o555, files=0o444)
    try:
        process = lab.daemon(preexec_fn=heed_permissions)
        words = said(process)
    finally:
        allow(lab.folder, folders=0o755, files=0o644)
    assert process.returncode != 0
    assert "make the folder writable" in words.splitlines()[-1]


@pytest.mark.ci
def test_a_folder_that_cannot_be_written_any_more_is_waited_for_and_nothing_is_lost(lab: CurveLab) -> None:
    crew = Crew(lab, preexec_fn=heed_permissions)
    try:
        wait_until(lambda: ended(lab), "a first result")
        kept = ended(lab)
        allow(lab.folder, folders=0o555, files=0o444)
        time.sleep(4.0)
        assert (crew.daemon.poll(), crew.worker.poll()) == (None, None), "nobody dies of it"
    except BaseException:
        crew.go_home()
        raise
    finally:
        allow(lab.folder, folders=0o755, files=0o644)
    assert crew.run() == "the run is complete"
    now = {experiment.id: experiment.outcome for experiment in ended(lab)}
    assert all(now[experiment.id] == experiment.outcome for experiment in kept)
    assert {e.outcome.reason for e in ended(lab) if e.outcome} <= {None, "harness_fault"}, "no candidate is blamed"
    assert "make the folder writable" in crew.words


def allow(folder: Path, folders: int, files: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        with suppress(FileNotFoundError):  # SQLite removes its shared memory with the last connection, at any time
            path.chmod(folders if path.is_dir() else files)


def heed_permissions() -> None:
    """Even the superuser then needs the permission that a file gives to its owner."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def test_settings_that_change_while_it_runs_hold_from_then_on(lab: CurveLab) -> None:
    crew = Crew(lab)
    try:
        wait_until(lambda: ended(lab), "a first result")
        office = lab.open().ledger.office
        office.push_settings("[nonsense]\n", op_id="wrong")
        office.push_settings(lab.settings.replace("experiments = 3", "experiments = 4"), op_id="right")
    except BaseException:
        crew.go_home()
        raise
    assert crew.run() == "the run is complete"
    assert sum(e.purpose == "explore" for e in ended(lab)) == 4
