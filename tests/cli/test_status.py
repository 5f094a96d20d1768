"""`aether status`: one quick look that loads nothing heavy and writes nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.backend import open_backend
from support.commands import environment, started, until, write_laboratory

HEAVY = ("torch", "boto3", "optuna", "numpy", "scipy", "matplotlib", "av", "PIL", "jinja2")
Said = Callable[..., str]


def test_it_shows_the_best_so_far_against_each_goal_what_ended_and_the_money(lab: Path, said: Said) -> None:
    told = said("status")
    assert "no daemon runs" in told
    assert "fit_db >= 10" in told
    assert "coefficients <= 6" in told
    assert "met on 100 % of the clips" in told
    assert "Ended last   partial: it ran, and a goal is missed or unknown" in told
    assert "confirmed: three runs of their own came out as well" in told
    assert "spent this month" in told


def test_for_a_machine_it_is_one_document_with_the_same(lab: Path, said: Said) -> None:
    status = json.loads(said("status", "--json"))
    assert status["daemon"]["state"] == "absent"
    assert status["best"]["status"] == "confirmed"
    assert {goal["goal"] for goal in status["best"]["goals"]} == {"fit_db >= 10", "coefficients <= 6"}
    assert status["states"]["finished"] == status["experiments"] == sum(status["outcomes"].values())
    assert status["money"][0]["spent"] > 0


@pytest.mark.parametrize("words", [
    ["status"], ["experiments", "list"], ["experiments", "show", "1"], ["experiments", "diff", "1", "2"],
    ["budget", "show"], ["settings", "show"], ["settings", "diff"], ["clips", "list"], ["report", "--now"],
    ["gc", "--dry-run"], ["pause"], ["doctor", "--metrics"]], ids=" ".join)
def test_every_document_for_a_machine_names_its_schema(words: list[str], lab: Path, said: Said) -> None:
    assert json.loads(said(*words, "--json"))["schema"] == 1


def test_it_loads_nothing_heavy(lab: Path) -> None:
    for words in (["status"], ["status", "--json"]):
        script = (f"import sys; from cli.main import run_command; code = run_command({words!r}); "
                  f"print('loaded', code, [name for name in {HEAVY!r} if name in sys.modules])")
        answer = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True)
        assert answer.stdout.splitlines()[-1] == "loaded 0 []", answer.stderr


def test_looking_changes_nothing(lab: Path, said: Said) -> None:
    before = open_backend("local:lab").ledger.last_change()
    for words in (["status"], ["experiments", "list"], ["experiments", "show", "1"], ["budget", "show"],
                  ["settings", "show"]):
        said(*words)
    assert open_backend("local:lab").ledger.last_change() == before


def test_without_a_laboratory_it_says_how_to_get_one(lab: Path, said: Said) -> None:
    told = said("status", "--backend", "local:nowhere", code=2)
    assert "`aether run` makes one" in told
    assert told.count("\n") == 1


def test_the_backend_may_come_from_the_environment(
        lab: Path, tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHER_BACKEND", f"local:{lab / 'lab'}")
    monkeypatch.chdir(tmp_path)
    assert json.loads(said("status", "--json"))["lab"] == "curves"


def test_it_sees_a_daemon_that_lives_and_follows_it_to_its_end(tmp_path: Path) -> None:
    write_laboratory(tmp_path)
    with started(tmp_path, "run", "--experiments", "1") as run:
        until(lambda: (tmp_path / "lab/logs/daemon.log").exists(), "the daemon")
        with started(tmp_path, "status", "--follow", "--json") as follower:
            run.wait(timeout=120)
            until(lambda: open_backend(f"local:{tmp_path / 'lab'}").ledger.experiments("finished"), "a result")
            follower.send_signal(signal.SIGINT)
            told, _ = follower.communicate(timeout=30)
    looks = [json.loads(one) for one in told.splitlines()]
    assert "running" in {look["daemon"]["state"] for look in looks}
    assert [look["change"] for look in looks] == sorted(look["change"] for look in looks)


@pytest.mark.parametrize(("group", "alone"), [("budget", "show"), ("settings", "show"), ("clips", "list"),
                                              ("experiments", "list")])
def test_a_group_alone_does_what_is_asked_of_it_most(
    lab: Path, said: Said, monkeypatch: pytest.MonkeyPatch, group: str, alone: str,
) -> None:
    assert said(group) == said(group, alone) != ""
    assert json.loads(said(group, "--json")) == json.loads(said(group, alone, "--json"))
    assert f"aether {group} {alone} --help" in said(group, "--wrong", code=2)
    monkeypatch.setenv("AETHER_BACKEND", "local:elsewhere")
    assert "elsewhere" in said(group, code=2)
