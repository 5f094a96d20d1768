"""The canary tells a sandbox that holds from one that does not, and what a machine without one still does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import structlog.testing

from cli.checks import machine
from gpu_workers.main import serve
from gpu_workers.phase import Box, Refuse
from gpu_workers.rerun import rerun
from gpu_workers.runner import NO_BOX, ProcessRunner
from gpu_workers.sandbox import box, canary, rules, trial
from gpu_workers.sandbox.canary import runner_here, sandbox_here
from gpu_workers.sandbox.runner import BoxRunner
from lab.backend import open_backend
from lab.canonical import canonical_json
from lab.errors import AetherError
from lab.experiment import Clip, Dataset, Spec
from support.boxes import need_sandbox
from support.footage import cut
from support.laboratory import experiment

WITHOUT = "there is no bubblewrap; install bubblewrap 0.8 or later: apt-get install bubblewrap"


@pytest.fixture
def asked_again() -> Iterator[None]:
    """The answer is kept for a process; here each test asks for itself."""
    sandbox_here.cache_clear()
    yield
    sandbox_here.cache_clear()


@pytest.fixture
def without(asked_again: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no bubblewrap."""
    monkeypatch.setattr(box.shutil, "which", lambda *_, **__: None)


def test_where_the_box_holds_what_nobody_trusts_runs_in_boxes(asked_again: None) -> None:
    need_sandbox()
    assert sandbox_here().works
    assert sandbox_here().by.startswith("bubblewrap 0.")
    assert isinstance(runner_here(), BoxRunner)
    assert [check.level for check in machine() if check.name == "sandbox"] == ["ok"]


@pytest.mark.parametrize(("program", "named"), [
    ("names", "9, a namespace"), ("arguments", "4, the network")])
def test_a_filter_that_lets_something_through_is_found_out(
        asked_again: None, monkeypatch: pytest.MonkeyPatch, program: str, named: str) -> None:
    """One of the three is left away: the box is made all the same, and the canary names what it can do now."""
    need_sandbox()
    sandbox_here.cache_clear()
    monkeypatch.setattr(rules, "PROGRAMS", tuple(name for name in rules.PROGRAMS if name != program))
    found = sandbox_here()
    assert not found.works
    assert "does not hold" in found.why
    assert named in found.why


def test_a_track_that_does_not_run_in_a_box_is_found_out(
        asked_again: None, monkeypatch: pytest.MonkeyPatch) -> None:
    need_sandbox()
    sandbox_here.cache_clear()
    track = msgspec.structs.replace(canary._tracks()[0], canary="support.phases:refuse")
    monkeypatch.setattr(canary, "_tracks", lambda: [track])
    assert sandbox_here().why == (f"the track {track.name} does not run in the sandbox of this machine: canary gave 3 "
                                  f"frames of 4")


def test_the_trial_has_an_attack_for_each_number_that_it_promises() -> None:
    assert [name.partition(",")[0] for name in trial.ATTACKS] == ["2", "4", "9", "12", "16"], "20 is how the trial ends"


def test_without_a_box_the_fix_is_told_everywhere(without: None, tmp_path: Path) -> None:
    assert sandbox_here().why == WITHOUT
    assert isinstance(runner_here(), ProcessRunner)
    [check] = [check for check in machine() if check.name == "sandbox"]
    assert (check.level, check.found, check.fix) == ("note", "NOT SANDBOXED: there is no bubblewrap",
                                                     WITHOUT.partition("; ")[2])
    open_backend(f"local:{tmp_path / 'lab'}", create=True)
    with structlog.testing.capture_logs() as said:
        serve(f"local:{tmp_path / 'lab'}", keep_going=lambda: False)
    assert [(line["log_level"], line["event"], line["why"]) for line in said] == [("warning", "NOT SANDBOXED", WITHOUT)]


def test_without_a_box_what_is_ours_runs_and_its_record_says_how(without: None, tmp_path: Path) -> None:
    from gpu_workers.codec.families.classic_space import as_people_run
    lab = open_backend(f"local:{tmp_path / 'lab'}", create=True)
    clip = Clip(name="walk", role="score", hash=lab.store.put(cut("flower_720p30", 4, tmp_path, "scale=160:90")))
    spec = Spec(track="codec", family="classic", params=as_people_run("svtav1", svtav1_crf=45.0, svtav1_preset=12),
                clips=lab.store.put_bytes(canonical_json(Dataset(clips=(clip,)))), seed=1, protocol=1)
    ended = rerun(lab, experiment("e0001", spec), tmp_path / "again").outcome
    assert ended is not None
    assert (ended.scores is not None, ended.sandboxed) == (True, False)
    with pytest.raises(AetherError, match=NO_BOX):
        rerun(lab, experiment("e0002", msgspec.structs.replace(spec, code=lab.store.put_bytes(
            canonical_json({"encoding_agent.py": "", "decoding_agent.py": ""})))), tmp_path / "foreign")


def test_a_refusal_is_no_crash(tmp_path: Path) -> None:
    """What the codec's canary raises is a refusal that names the encoder."""
    from gpu_workers.codec import canary as codec
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec.ffmpeg, "encode", lambda *_: iter(()))
        with pytest.raises(Refuse, match="svtav1 gave 0 pictures for 8"):
            codec.encode_eight_frames(_plain_box(tmp_path))


def _plain_box(out: Path) -> Box:
    from gpu_workers.phase import MachineLock
    spec = Spec(track="codec", family="canary", params={}, clips="", seed=0, protocol=1)
    return Box(spec, (), {}, out, 1, False, MachineLock(out / "lock"), 30.0, lambda **_: None)
