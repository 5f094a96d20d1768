"""`aether run --candidate DIR`: a person's own codec is offered once, with all that decides its result, and shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from cli import candidate
from cli.clips import import_clips
from gpu_workers.codec.phases import DECODING_AGENT, ENCODING_AGENT
from gpu_workers.sandbox.canary import Sandbox
from lab import bundle
from lab.backend import Backend, open_backend
from lab.control import Idea
from lab.errors import AetherError, UserError
from lab.experiment import Outcome, Scores, State, TrainingLimit
from lab.settings import Settings, parse
from lab.track import load_track
from orchestrator.places import Places
from orchestrator.planner import clip_sets, wished
from support.boxes import need_sandbox
from support.commands import command
from support.footage import cut
from support.laboratory import experiment
from support.training import printed

Said = Callable[..., str]
TRACK = load_track("codec")
SETTINGS = parse("[training]\nsteps = 7\n")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The documented pair of agents in a folder, as printed."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in printed().items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def lab(tmp_path: Path) -> Backend:
    backend = open_backend(f"local:{tmp_path / 'lab'}", create=True)
    small = "scale=96:54"
    import_clips(backend, TRACK, [(cut("drive_1080p30", 6, tmp_path, small), "train"),
                                  (cut("flower_720p30", 3, tmp_path, small), "score")])
    return backend


def test_it_is_offered_with_its_code_its_parameters_and_the_settings_training(lab: Backend, mine: Path) -> None:
    fingerprint, before = candidate.offer(lab, TRACK, SETTINGS, candidate.read(mine, TRACK, {"step": 20}))
    (idea,) = lab.ledger.office.ideas()
    spec = wished(TRACK, SETTINGS, clip_sets(lab.store).explore, idea)
    assert (before, spec.fingerprint(), spec.params) == (None, fingerprint, {"step": 20})
    assert spec.limit == TrainingLimit(steps=7)
    assert bundle.read(lab.store, spec.code or "") == printed()


def test_an_agent_that_does_not_learn_is_not_trained(lab: Backend, mine: Path) -> None:
    encoder = mine / ENCODING_AGENT
    encoder.write_text(encoder.read_text().replace("def train(", "def no_training("))
    candidate.offer(lab, TRACK, SETTINGS, candidate.read(mine, TRACK, {}))
    (idea,) = lab.ledger.office.ideas()
    assert wished(TRACK, SETTINGS, "0" * 64, idea).limit is None


@pytest.mark.parametrize(("line", "there"), [("import torch.nn as nn", "gpu"), ("from torch import nn", "gpu"),
                                             ("from . import torch", "cpu"), ("import torchless", "cpu")])
def test_on_an_account_one_that_imports_what_networks_need_goes_where_that_is(
        lab: Backend, mine: Path, line: str, there: str) -> None:
    encoder = mine / ENCODING_AGENT
    encoder.write_text(f"{encoder.read_text()}\n\ndef later():\n    {line}\n")
    candidate.offer(lab, TRACK, SETTINGS, candidate.read(mine, TRACK, {}))
    (idea,) = lab.ledger.office.ideas()
    assert wished(TRACK, SETTINGS, "0" * 64, idea).job_class == "cpu"
    assert wished(TRACK, SETTINGS, "0" * 64, idea, Places(rented=True)).job_class == there


def test_one_that_learns_needs_footage_to_learn_from(tmp_path: Path, mine: Path) -> None:
    bare = open_backend(f"local:{tmp_path / 'bare'}", create=True)
    import_clips(bare, TRACK, [(cut("flower_720p30", 3, tmp_path, "scale=96:54"), "score")])
    with pytest.raises(UserError, match="no clip to learn from; `aether clips add FILE --role train`"):
        candidate.offer(bare, TRACK, SETTINGS, candidate.read(mine, TRACK, {}))
    assert not bare.ledger.office.ideas()


@pytest.mark.parametrize("idea", [
    Idea(key="a", family="candidate", params={}),
    Idea(key="b", family="classic", params={}, code="0" * 64),
], ids=["no code", "code for a family of ours"])
def test_code_goes_with_the_family_for_it_and_with_no_other(idea: Idea) -> None:
    with pytest.raises(AetherError, match="code from outside"):
        wished(TRACK, Settings(), "0" * 64, idea)


@pytest.mark.parametrize(("words", "says"), [
    (["--candidate", "nowhere"], "nowhere is no folder"),
    (["--candidate", "."], f". has no {ENCODING_AGENT} and no {DECODING_AGENT}; docs/two-agents.md"),
    (["--candidate", "mine", "--param", "step"], "write NAME=VALUE"),
    (["--param", "step=3"], "--param goes with --candidate"),
])
def test_a_persons_mistake_is_one_line_and_makes_no_laboratory(
        words: list[str], says: str, mine: Path, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    monkeypatch.chdir(mine.parent)
    line = said("run", *words, code=2)
    assert says in line
    assert line.count("\n") == 1
    assert not (mine.parent / "lab").exists()


def test_without_a_sandbox_it_is_refused_with_the_fix(mine: Path, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    none = Sandbox(works=False, why="there is no bwrap; apt-get install bubblewrap")
    monkeypatch.setattr("gpu_workers.sandbox.canary.sandbox_here", lambda: none)
    monkeypatch.chdir(mine.parent)
    assert "apt-get install bubblewrap" in said("run", "--candidate", "mine", code=2)
    assert not (mine.parent / "lab").exists()


@pytest.mark.parametrize(("state", "outcome", "code", "says"), [
    ("finished", Outcome(verdict="partial", scores=Scores(mean={}, clips={})), 0, ""),
    ("finished", Outcome(verdict="failed", reason="crash", detail="encode: no"), 1, "failed: crash: encode: no"),
    ("cancelled", None, 1, "the candidate was not evaluated: cancelled"),
    ("queued", None, 1, "the run ended before its turn"),
])
def test_a_run_for_a_candidate_went_well_only_if_it_was_evaluated(
        state: State, outcome: Outcome | None, code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    own = replace(experiment("e00001"), state=state, outcome=outcome)
    assert candidate.say_unless_evaluated(own) == code
    assert says in capsys.readouterr().err
    assert candidate.say_unless_evaluated(None) == 1


@pytest.mark.ci
def test_one_that_crashes_ends_the_command_with_1_also_when_it_is_shown_again(lab: Backend, mine: Path) -> None:
    need_sandbox()
    encoder = mine / ENCODING_AGENT
    encoder.write_text(encoder.read_text().replace("share = int(", "raise KeyError(1)\n    share = int("))
    for _ in range(2):
        ran = command(mine.parent, "run", "--candidate", "mine")
        assert ran.returncode == 1
        assert "error: the candidate was not evaluated: failed: crash: encode: " in ran.stderr


@pytest.mark.ci
def test_the_command_runs_it_like_any_other_experiment_and_the_same_one_only_once(lab: Backend, mine: Path) -> None:
    need_sandbox()
    first = command(mine.parent, "run", "--candidate", "mine", "--json")
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)["candidate"]
    assert found["experiment"]["designer"] == "person"
    assert found["scores"]["mean"]["bitrate_mbps"] > 0
    experiments = list(lab.ledger.all_experiments())
    assert {e.spec.family for e in experiments if e.purpose != "anchor"} == {"candidate"}
    assert {e.purpose for e in experiments} == {"explore", "anchor", "confirm"}
    report = (mine.parent / "lab" / "report.html").read_text()
    assert found["experiment"]["id"] in report
    again = command(mine.parent, "run", "--candidate", "mine", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["ran_already"]
    assert len(list(lab.ledger.all_experiments())) == len(experiments)
    other = command(mine.parent, "run", "--candidate", "mine", "--param", "step=24", "--json")
    assert json.loads(other.stdout)["candidate"]["experiment"]["spec"]["params"] == {"step": 24}
