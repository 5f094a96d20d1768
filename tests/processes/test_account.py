"""A laboratory on an account, end to end by the command line: footage in, a daemon and a worker as processes of their
own, real experiments, the report read where it was published. The account is the emulator's."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.account import Account
from support.commands import command, started, write_laboratory
from support.footage import synthetic

pytestmark = pytest.mark.ci
ENDS_S = 300.0  # bounds every wait; nothing is asserted about time
SETTINGS = """[limits]
experiments = 1
stop_at_goal = false
lease_s = 30.0
beat_s = 2.0
grace_s = 15.0

[designers]
families = ["classic"]

[report]
hourly = false
"""


class Away:
    """Commands of a person who is signed in, from an empty folder."""

    def __init__(self, account: Account, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        caches = {"XDG_CACHE_HOME": str(folder / "caches")}
        for name, value in (account.environment() | caches).items():
            monkeypatch.setenv(name, value)
        self.names = account.deploy()
        self.backend = ("--backend", f"aws:{self.names.prefix}")

    def __call__(self, *words: str) -> str:
        ended = command(self.folder, *words, *self.backend)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def told(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def away(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Away:
    return Away(account, tmp_path, monkeypatch)


def test_a_laboratory_on_an_account_runs_from_footage_to_report(away: Away, account: Account,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """Its services log as they do on an instance: one JSON object a line, CloudWatch's metrics among them."""
    monkeypatch.setenv("AETHER_TELEMETRY", "emf")
    tap = account.tap(away.names)
    (away.folder / "aether.toml").write_text(SETTINGS)
    away("settings", "push")
    away("clips", "add", str(synthetic(away.folder / "moving.mkv", "yuv420p")))
    away("budget", "set", "5")
    assert [clip["name"] for clip in away.told("clips", "list")["clips"]] == ["moving"]

    with (started(away.folder, "orchestrate", "--seed", "1", *away.backend) as daemon,
          started(away.folder, "work", *away.backend) as worker):
        assert daemon.wait(ENDS_S) == 0
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(ENDS_S) == 0
        logs = {name: logged(one) for name, one in (("daemon", daemon), ("worker", worker))}

    assert next(one["Lab"] for one in logs["daemon"] if "DaemonHeartbeat" in one) == away.names.prefix
    attempts = {one["experiment"] for one in logs["worker"] if one.get("event") == "attempt begins"}
    assert attempts == {one["experiment"] for one in logs["worker"] if one.get("event") == "attempt ended"}
    experiments = away.told("experiments", "list")["experiments"]
    explored = [one for one in experiments if one["purpose"] == "explore"]
    assert len(explored) == 1
    assert {one["state"] for one in experiments} == {"finished"}
    assert {one["id"] for one in experiments} == attempts
    assert all(one["outcome"]["scores"]["mean"]["psnr_y_db"] > 20 for one in explored)
    status = away.told("status")
    assert status["backend"] == f"aws:{away.names.prefix}"
    assert status["money"][0]["spent"] > 0
    assert status["money"][0]["reserved"] == 0
    [(subject, text)] = tap.drain()
    assert subject.endswith("]")
    assert away.told("report")["text"] == text
    assert away.told("doctor")["well"]
    assert Path(away("report", "--html").strip()).read_text().startswith("<!doctype html>")


def logged(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    assert process.stderr is not None
    return [json.loads(line) for line in process.stderr.read().splitlines()]


def test_one_command_runs_a_laboratory_on_an_account_and_all_others_answer_there(away: Away) -> None:
    """The tiny curve track, from a folder in which nothing of a laboratory lies."""
    write_laboratory(away.folder)
    ran = away.told("run", "--experiments", "1", "--seed", "1")
    assert ran["explored"] == 1
    assert Path(ran["report"]).is_file()
    for words in (("pause",), ("resume",), ("gc", "--dry-run"), ("budget", "show"), ("settings", "diff"),
                  ("experiments", "show", "1"), ("report", "--now")):
        assert away(*words), words
    assert not (away.folder / "lab").exists()
