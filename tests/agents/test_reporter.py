"""The reporter composes in a process of its own and posts each period once, whoever asks and however often."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agents.reporter import main, report
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


def test_it_loads_nothing_that_a_small_function_cannot_carry() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import agents.reporter, sys; print(*sys.modules)"], capture_output=True, text=True,
        check=True, cwd=Path(__file__).parents[2]).stdout.split()
    assert not {"numpy", "matplotlib", "torch", "av", "PIL", "optuna", "boto3"} & set(told)


def test_a_fault_is_one_line_with_the_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"local:{tmp_path / 'none'}", "k", "why"]) == 2
    assert "no laboratory in" in capsys.readouterr().err
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage:")
