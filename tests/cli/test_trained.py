"""`aether experiments show` of a network: its model, its loss curve, its phases, its pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lab.control import Idea
from lab.experiment import Outcome
from support.reported import ReportedLab, scores

Said = Callable[..., str]
CLAIMS = [{"step": n, "seconds": n / 10, "loss": 3.0 / (n + 1)} for n in range(60)]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReportedLab:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return ReportedLab(tmp_path / "lab")


def measured(lab: ReportedLab) -> str:
    art = {f"thumbnails/drive-worst-{side}.webp": lab.picture(colour)
           for side, colour in (("original", "red"), ("decoded", "blue"))}
    return lab.trained(CLAIMS, Outcome(verdict="partial", scores=scores(0.9, 33.0, artefacts=art)))


def test_a_person_sees_the_curve_the_model_and_the_phases(lab: ReportedLab, said: Said) -> None:
    told = said("experiments", "show", measured(lab))
    assert "at its end loss 0.05" in told
    assert any(0x2800 < ord(character) < 0x2900 for character in told), "a curve of braille dots"
    assert "100 steps, seed 1, by e00001" in told
    assert "train 12.5 s" in told


def test_a_machine_gets_all_of_it(lab: ReportedLab, said: Said) -> None:
    found = json.loads(said("experiments", "show", measured(lab), "--json"))
    (loss,) = found["training"]
    assert (loss["name"], loss["over"], len(loss["points"])) == ("loss", "step", 60)
    assert found["model"]["limit"]["steps"] == 100
    assert found["phase_s"] == {"train": 12.5}


def test_original_stands_left_of_decoded_in_one_picture(lab: ReportedLab, tmp_path: Path, said: Said) -> None:
    id = measured(lab)
    assert f"pics/{id}-drive-worst.png" in said("experiments", "show", id, "--pictures", "pics")
    with Image.open(tmp_path / "pics" / f"{id}-drive-worst.png") as both:
        left, right = both.getpixel((0, 4)), both.getpixel((both.width - 1, 4))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert left[0] > 200 > right[0], "red left"
    assert right[2] > 200 > left[2], "blue right"


def test_without_pictures_that_is_said(lab: ReportedLab, said: Said) -> None:
    id = lab.trained(CLAIMS, Outcome(verdict="failed", reason="diverged"))
    assert "left no pictures" in said("experiments", "show", id, "--pictures", "pics", code=2)


def test_a_sweep_keeps_the_weights_of_the_front_and_code_that_waits(
        lab: ReportedLab, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    monkeypatch.setattr("cli.gc.LEADERS", 1)
    best = lab.trained(CLAIMS, Outcome(verdict="success", scores=scores(0.5, 37.0)))
    beaten = lab.trained(CLAIMS, Outcome(verdict="partial", scores=scores(0.9, 33.0)))
    code = lab.backend.store.put_bytes(b"a bundle")
    lab.ledger.office.add_idea(Idea(key="mine", family="candidate", params={}, code=code), op_id="idea")
    said("gc", "--grace-h", "0", "--quota-gb", "0")
    left = {id: lab.ledger.experiment(id).checkpoints["train"].outputs["weights.safetensors"] for id in (best, beaten)}
    assert lab.backend.store.has(left[best])
    assert not lab.backend.store.has(left[beaten])
    assert lab.backend.store.has(code)
