"""`aether run` on the tiny track: from nothing to a result, and what ends it, disturbs it or refuses it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.backend import Backend, open_backend
from lab.settings import parse
from support.commands import command, family, gone, started, until, write_laboratory

Finished = tuple[Path, dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_laboratory(tmp_path)
    return tmp_path


def lab_of(folder: Path) -> Backend:
    return open_backend(f"local:{folder / 'lab'}")


def runs_something(folder: Path) -> bool:
    return (folder / "lab/ledger.db").exists() and bool(lab_of(folder).ledger.experiments("running"))


def test_one_command_goes_from_nothing_to_a_result(finished: Finished) -> None:
    folder, summary = finished
    assert summary["explored"] == 4
    assert summary["why"] == "the asked number of experiments has run" or summary["why"] == "the run is complete"
    assert summary["front"]
    assert Path(summary["report"]) == folder / "lab/report.html"
    experiments = list(lab_of(folder).ledger.all_experiments())
    assert {e.state for e in experiments} == {"finished"}
    assert {e.purpose for e in experiments} == {"explore", "anchor", "confirm"}


def test_what_the_command_line_asked_for_is_in_the_revision_that_each_experiment_names(finished: Finished) -> None:
    ledger = lab_of(finished[0]).ledger
    (revision,) = {e.settings for e in ledger.all_experiments()}
    pushed = ledger.office.settings(revision)
    assert pushed is not None
    limits = parse(pushed.text).limits
    assert (limits.experiments, limits.stop_at_goal) == (4, False)


def test_its_processes_log_to_files_and_none_is_left(finished: Finished) -> None:
    lab = finished[0] / "lab"
    events = [json.loads(line)["event"] for line in (lab / "logs/daemon.log").read_text().splitlines()]
    assert "stage" in events
    assert (lab / "logs/worker-1.log").exists()
    assert not list((lab / "scratch").iterdir())


def test_at_the_end_of_its_minutes_workers_tell_what_their_work_took(tmp_path: Path) -> None:
    """What the daemon has to take away it pays to the end of the lease. What ends in the next run is counted there."""
    write_laboratory(tmp_path)
    ran = command(tmp_path, "run", "--minutes", "0.15", "--designer", "control", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["why"] == "0.15 minutes are over"
    endings = {a.ending for e in lab_of(tmp_path).ledger.all_experiments() for a in e.attempts}
    assert endings
    assert not endings & {"released", "lost", None}
    again = command(tmp_path, "run", "--experiments", "1", "--designer", "control", "--json")
    explored = sum(e.purpose == "explore" for e in lab_of(tmp_path).ledger.all_experiments("finished"))
    assert sum(json.loads(one.stdout)["explored"] for one in (ran, again)) == explored


def test_run_again_it_carries_on(lab: Path) -> None:
    before = {e.id for e in lab_of(lab).ledger.all_experiments()}
    ran = command(lab, "run", "--experiments", "1", "--designer", "control")
    assert ran.returncode == 0, ran.stderr
    experiments = {e.id: e for e in lab_of(lab).ledger.all_experiments()}
    assert before < experiments.keys()
    new = [experiments[id] for id in experiments.keys() - before]
    assert [e.designer for e in new if e.purpose == "explore"] == ["control"]
    (line,) = [line for line in ran.stdout.splitlines() if f"  {new[0].id}  " in line and " s  " in line][:1]
    assert "dB" in line
    assert "The front" in ran.stdout


def test_a_second_run_is_refused_and_told_who_holds_the_lab(folder: Path) -> None:
    with started(folder, "run", "--minutes", "5") as first:
        until(lambda: runs_something(folder), "the first run to work")
        revision = lab_of(folder).ledger.office.control().settings
        second = command(folder, "run", "--minutes", "1")
        assert second.returncode == 2
        daemon = lab_of(folder).ledger.office.lease()
        assert daemon is not None
        assert f"pid {daemon.pid}" in second.stderr
        assert second.stderr.count("\n") == 1
        assert lab_of(folder).ledger.office.control().settings == revision
        assert command(folder, "orchestrate", "--backend", "local:./lab").returncode == 2
        assert first.poll() is None


def test_ctrl_c_hands_work_back_reports_and_leaves_nobody(folder: Path) -> None:
    with started(folder, "run") as run:
        until(lambda: runs_something(folder), "an experiment")
        children = family(run.pid)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, err
    assert "a person said stop" in out
    assert gone(children)
    ledger = lab_of(folder).ledger
    assert not ledger.experiments("running")
    lease = ledger.office.lease()
    assert lease is not None
    assert lease.holder == ""


def test_a_second_ctrl_c_ends_at_once(folder: Path) -> None:
    with started(folder, "run") as run:
        until(lambda: runs_something(folder), "an experiment")
        children = family(run.pid)
        run.send_signal(signal.SIGINT)
        until(lambda: lab_of(folder).ledger.office.control().stop or run.poll() is not None, "the first to be heard")
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
    if run.returncode:  # it may have been done with draining before it heard the second
        assert run.returncode == 130
        assert err.startswith("ended at once")
    until(lambda: gone(children), "the children")


def test_a_killed_run_leaves_no_orphan_and_the_next_one_goes_on(folder: Path) -> None:
    with started(folder, "run") as run:
        until(lambda: runs_something(folder), "an experiment")
        children = family(run.pid)
        assert len(children) >= 3
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        until(lambda: gone(children), "orphans to go")
    ran = command(folder, "run", "--experiments", "1", "--json")
    assert ran.returncode == 0, ran.stderr
    assert not lab_of(folder).ledger.experiments("running")


@pytest.mark.ci
def test_a_worker_that_is_killed_is_replaced(folder: Path) -> None:
    with started(folder, "run", "--experiments", "3") as run:
        until(lambda: runs_something(folder), "an experiment")
        (worker,) = [child for child in psutil.Process(run.pid).children() if "work" in child.cmdline()]
        worker.kill()
        run.communicate(timeout=120)
        assert run.returncode == 0
    attempts = [a for e in lab_of(folder).ledger.all_experiments() for a in e.attempts]
    assert len({attempt.worker for attempt in attempts}) == 2


def test_an_edited_settings_file_is_told_once_and_not_in_force(folder: Path) -> None:
    with started(folder, "run", "--experiments", "1") as run:
        until(lambda: runs_something(folder), "an experiment")
        (folder / "aether.toml").write_text((folder / "aether.toml").read_text() + "\n# a thought\n")
        out, _ = run.communicate(timeout=120)
    assert out.count("aether.toml has changed; this run keeps its settings until `aether settings push`") == 1
    assert lab_of(folder).ledger.office.control().settings == 1


@pytest.mark.parametrize(("words", "says"), [
    (["--designer", "oracle"], "there is control, evolution"),
    (["--settings", "missing.toml"], "cannot read missing.toml"),
    (["--minutes", "-1"], "error: on the command line: limits.minutes = -1.0: "),
    (["--backend", "nowhere"], "write local:DIR"),
])
def test_a_persons_mistake_is_one_line_with_the_fix(words: list[str], says: str, lab: Path, said: Any) -> None:
    line = said("run", *words, code=2)
    assert says in line
    assert line.count("\n") == 1


def test_a_wrong_key_is_told_with_its_line_and_nothing_is_started(lab: Path, said: Any) -> None:
    (lab / "aether.toml").write_text('[lab]\ntrack = "curve"\n\n[limits]\nminuts = 3\n')
    assert said("run", code=2).startswith("error: aether.toml:5: unknown key limits.minuts; known here: ")


def test_a_goal_on_a_metric_that_the_track_has_not_is_refused(lab: Path, said: Any) -> None:
    text = '[lab]\ntrack = "curve"\n[[goals]]\nmetric = "bitrate_mbps"\nrelation = "<="\nvalue = 1\n'
    (lab / "aether.toml").write_text(text)
    assert "has no metric 'bitrate_mbps'" in said("run", code=2)


def test_without_footage_it_says_how_to_name_some(tmp_path: Path, lab: Path, said: Any) -> None:
    line = said("run", "--backend", f"local:{tmp_path / 'empty'}", "--settings", str(_no_clips(tmp_path)), code=2)
    assert "[[clips]]" in line
    assert "aether clips add" in line


BAD_CLIP = '[lab]\ntrack = "curve"\n[[clips]]\npath = "{}"\nrole = "score"\n'


def test_a_run_that_is_refused_leaves_nothing_that_it_made(tmp_path: Path, lab: Path, said: Any) -> None:
    file = lab / "bad.toml"
    file.write_text(BAD_CLIP.format("gone.csv"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("a year's work")
    for place in ("mine", "new/deep/lab"):
        assert "gone.csv" in said("run", "--settings", str(file), "--backend", f"local:{tmp_path / place}", code=2)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    assert not (tmp_path / "new").exists()


def test_a_run_that_is_refused_leaves_a_laboratory_as_it_was(lab: Path, said: Any) -> None:
    (lab / "bad.toml").write_text(BAD_CLIP.format("gone.csv"))
    before = [e.id for e in lab_of(lab).ledger.all_experiments()]
    assert "gone.csv" in said("run", "--settings", "bad.toml", code=2)
    assert [e.id for e in lab_of(lab).ledger.all_experiments()] == before
    assert before


def _no_clips(folder: Path) -> Path:
    file = folder / "bare.toml"
    file.write_text('[lab]\ntrack = "curve"\n')
    return file
