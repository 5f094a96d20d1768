"""The reporter composes in a process of its own and posts each period once, whoever asks and however often."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agents.post import deliver_left
from agents.reporter import hourly, main, report
from lab.control import Report
from lab.errors import Unavailable
from support.reported import NOW, ReportedLab


def test_it_posts_the_text_stores_the_page_and_leaves_a_copy_in_the_lab(lab: ReportedLab) -> None:
    id = lab.measured(0.9, 37.0)
    made = report(lab.backend, "2026-11-23T11", "hourly", NOW)
    assert [r.key for r in lab.ledger.office.reports(waiting=True)] == ["2026-11-23T11"]
    assert id in made.subject
    page = lab.backend.store.read(made.html)
    assert lab.backend.folder is not None
    assert (lab.backend.folder / "report.html").read_bytes() == page
    assert not list(lab.backend.folder.glob(".*aside"))


def test_a_period_is_posted_once_and_the_second_asker_is_not_troubled(lab: ReportedLab) -> None:
    first = report(lab.backend, "2026-11-23T11", "hourly", NOW)
    lab.measured(0.9, 37.0)
    report(lab.backend, "2026-11-23T11", "hourly", NOW + 60)
    (posted,) = lab.ledger.office.reports()
    assert posted == first


def test_only_the_report_that_ends_a_run_says_that_it_has_ended(lab: ReportedLab) -> None:
    assert "ended" not in report(lab.backend, "2026-11-23T11", "hourly", NOW).text
    assert "the run has ended" in report(lab.backend, "end-1", "5 minutes are over", NOW).text


def test_it_runs_beside_the_daemon_as_a_process(lab: ReportedLab) -> None:
    lab.measured(0.9, 37.0)
    done = subprocess.run([sys.executable, "-m", "agents.reporter", lab.backend.address, "end-1", "the goal is met"],
                          capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (0, "")
    (posted,) = lab.ledger.office.reports(waiting=True)
    assert "the goal is met" in posted.text


@pytest.mark.parametrize("loads", ["import agents.reporter",
                                   "import agents.handlers; from lab.track import load_track; load_track('codec')"])
def test_it_loads_nothing_that_a_small_function_cannot_carry(loads: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", f"{loads}; import sys; print(*sys.modules)"], capture_output=True, text=True,
        check=True, cwd=Path(__file__).parents[2]).stdout.split()
    heavy = {"numpy", "matplotlib", "torch", "av", "PIL", "optuna", "psutil", "scipy", "bjontegaard"}
    assert not heavy & set(told)
    assert ("boto3" in told) == ("handlers" in loads)


def test_a_fault_is_one_line_with_the_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"local:{tmp_path / 'none'}", "k", "why"]) == 2
    assert "no laboratory in" in capsys.readouterr().err
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage:")


HOUR_S = 3600.0


def hour_of(lab: ReportedLab) -> Report | None:
    return hourly(lab.backend, lab.clock.now)


def test_without_a_daemon_each_hour_is_reported_and_says_since_when_nobody_lives(lab: ReportedLab) -> None:
    lab.measured(0.9, 37.0)
    lab.ledger.office.beat_daemon(lab.lab.epoch, 1)
    lab.clock.now += HOUR_S
    first = hour_of(lab)
    assert first is not None
    assert first.key == "2026-11-23T12"
    assert "NO DAEMON since 2026-11-23 12:00 UTC" in first.subject
    assert "no daemon has lived since 2026-11-23 12:00 UTC" in first.text
    assert hour_of(lab) is None, "the hour is told once"
    lab.clock.now += HOUR_S
    second = hour_of(lab)
    assert second is not None
    assert second.key == "2026-11-23T13"


def test_an_hour_after_a_daemon_that_handed_its_run_over_and_has_no_successor_says_so(lab: ReportedLab) -> None:
    lab.ledger.office.beat_daemon(lab.lab.epoch, 1)
    lab.ledger.office.leave_lease(lab.lab.epoch, goes_on=True, op_id="left")
    lab.clock.now += HOUR_S
    made = hour_of(lab)
    assert made is not None
    assert "NO DAEMON since" in made.subject


def test_an_hour_that_the_daemon_has_told_is_told_by_nobody_else(lab: ReportedLab) -> None:
    lab.clock.now += HOUR_S
    report(lab.backend, "2026-11-23T12", "hourly", lab.clock.now)
    assert hour_of(lab) is None


def test_beside_a_daemon_that_lives_a_missing_hour_is_told_without_alarm(lab: ReportedLab) -> None:
    lab.clock.now += HOUR_S
    lab.ledger.office.beat_daemon(lab.lab.epoch, 1)
    made = hour_of(lab)
    assert made is not None
    assert "NO DAEMON" not in made.subject


@pytest.mark.parametrize("why", ["at rest", "not wanted", "just begun"])
def test_some_hours_are_nobodys(lab: ReportedLab, why: str) -> None:
    if why == "at rest":
        lab.ledger.office.leave_lease(lab.lab.epoch, op_id="left")
        lab.clock.now += HOUR_S
    elif why == "not wanted":
        lab.ledger.office.push_settings("[report]\nhourly = false\n", op_id="push")
        lab.clock.now += HOUR_S
    else:
        lab.ledger.office.beat_daemon(lab.lab.epoch, 1)
    assert hour_of(lab) is None


def test_what_no_daemon_delivers_is_delivered_by_whoever_finds_it(lab: ReportedLab) -> None:
    report(lab.backend, "2026-11-23T11", "hourly", lab.clock.now)
    lab.ledger.office.beat_daemon(lab.lab.epoch, 1)
    assert deliver_left(lab.backend, lab.clock.now) == [], "a daemon that lives delivers it itself"
    assert deliver_left(lab.backend, lab.clock.now + 150) == ["2026-11-23T11"], "unless it does not"
    assert deliver_left(lab.backend, lab.clock.now + 160) == []
    lab.ledger.office.leave_lease(lab.lab.epoch, op_id="left")
    report(lab.backend, "end-1", "all is done", lab.clock.now)
    assert deliver_left(lab.backend, lab.clock.now) == ["end-1"]
    assert lab.backend.folder is not None
    assert len(list((lab.backend.folder / "outbox").glob("*.eml"))) == 2


def test_a_report_that_is_refused_holds_up_no_other(lab: ReportedLab) -> None:
    assert lab.backend.folder is not None
    outbox = lab.backend.folder / "outbox"
    (outbox / "end-1.eml").mkdir(parents=True)  # no file can take its place
    for key in ("end-1", "guard-000001"):
        lab.ledger.office.post_report(Report(key=key, subject="s", text="t"), op_id=key)
    with pytest.raises(Unavailable):
        deliver_left(lab.backend, lab.clock.now + 150)
    assert [path.stem for path in outbox.glob("*.eml") if path.is_file()] == ["guard-000001"]
    assert [left.key for left in lab.ledger.office.reports(waiting=True)] == ["end-1"]
