"""A phase runs one function apart, and says in one word how it ended."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from gpu_workers.phase import BoundClip, Failure, PhaseRequest, ProgressLines, run_phase_file
from lab.experiment import Spec

SPEC = Spec(track="curve", family="line", params={"x": 3}, clips="c" * 64, seed=1, protocol=1)


def request_for(entry: str, folder: Path) -> Path:
    out = folder / "out"
    out.mkdir()
    clip = BoundClip(name="a", hash="0" * 64, role="score", path="/nowhere")
    asked = PhaseRequest(entry=f"support.phases:{entry}", spec=SPEC, clips=(clip,), out=str(out), threads=2)
    path = folder / "request.json"
    path.write_bytes(msgspec.json.encode(asked))
    return path


def test_a_function_gets_what_the_request_binds_and_leaves_its_output(tmp_path: Path) -> None:
    sink = io.BytesIO()
    assert run_phase_file(request_for("fit", tmp_path), sink) == 0
    assert (tmp_path / "out" / "result.txt").read_text() == "3 1 2"
    assert msgspec.json.decode(sink.getvalue()) == {"step": 1, "loss": None, "note": "started"}


def test_a_refusal_is_told_with_its_reason(tmp_path: Path) -> None:
    assert run_phase_file(request_for("refuse", tmp_path)) == 3
    told = msgspec.json.decode((tmp_path / "out" / "failure.json").read_bytes(), type=Failure)
    assert told == Failure(reason="bad_output", detail="line gave 3 frames of 4")


def test_a_crash_leaves_its_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_phase_file(request_for("crash", tmp_path)) == 1
    assert "KeyError: 'lost'" in capsys.readouterr().err


def test_a_full_disk_is_told_as_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(box: object) -> None:
        with open("/dev/full", "wb") as file:
            file.write(b"x")

    monkeypatch.setattr("support.phases.fit", full)
    assert run_phase_file(request_for("fit", tmp_path)) == 3
    assert b'"disk"' in (tmp_path / "out" / "failure.json").read_bytes()


def test_progress_is_limited_to_twenty_lines_a_second_and_the_newest_claim_is_not_lost() -> None:
    sink, now = io.BytesIO(), [0.0]
    progress = ProgressLines(sink, clock=lambda: now[0])
    for step in range(1000):
        now[0] = step / 1000
        progress(step=step)
    progress.flush()
    steps = [msgspec.json.decode(line)["step"] for line in sink.getvalue().splitlines()]
    assert len(steps) <= 21
    assert steps[-1] == 999


def test_a_progress_line_over_its_limit_is_an_error_of_the_phase() -> None:
    with pytest.raises(ValueError, match="2048 bytes"):
        ProgressLines(io.BytesIO())(note="x" * 3000)
