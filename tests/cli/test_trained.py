"""`aether experiments show` of a network: its model, its loss curve, its phases, its pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

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
