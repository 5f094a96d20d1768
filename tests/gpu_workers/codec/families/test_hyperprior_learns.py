"""What training is worth: on photographs that no training saw, in real bytes, decoded from them.

Trained on five clips and seven photographs, tested on the seven others (`tests/data/hyperprior_split.json`); seconds
are of this process's processor time, so that a busy machine changes nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("compressai", reason="needs the learned extra: requirements/sync learned")

from benchmarks.hyperprior_curve import learned_point, saving_pct, split, summary, trained

NAMES = split()["test_photographs"]


def savings(model: Path, step: float) -> dict[str, float | None]:
    return summary({name: learned_point(model, name, step) for name in NAMES})


def test_no_photograph_is_trained_and_tested_on() -> None:
    found = split()
    assert not set(found["train_photographs"]) & set(found["test_photographs"])
    assert [len(found[name]) for name in ("train_clips", "train_photographs", "test_photographs")] == [5, 7, 7]


@pytest.mark.ci
def test_a_minute_of_training_is_worth_a_quarter_of_the_bytes_and_beats_jpeg_in_rgb(tmp_path: Path) -> None:
    """Against the untrained model, which is the DCT with a flat guess at its statistics, on that model's own curve."""
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    before, after = trained(tmp_path / "before", 0), trained(tmp_path / "after", 60)
    gains = []
    for name in NAMES:
        curve = [learned_point(before, name, step) for step in (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)]
        gains.append(saving_pct(learned_point(after, name, 1.0), curve, "rgb_db"))
    known = [gain for gain in gains if gain is not None]
    found = savings(after, 1.0)
    print(f"bytes saved against the untrained model: {known}; after 60 CPU-seconds: {found}")
    assert len(known) == len(NAMES)
    assert sum(known) / len(known) >= 25
    assert (found["JPEG rgb_db"] or 0) >= 5


@pytest.mark.soak
def test_twenty_minutes_of_training_beat_jpeg_by_a_fifth(tmp_path: Path) -> None:
    model = trained(tmp_path, 1200)
    found = {step: savings(model, step) for step in (0.8, 1.0, 1.25)}
    print(found)
    near = min(found.values(), key=lambda one: abs((one["bits_px"] or 0) - 0.4))
    assert 0.3 <= (near["bits_px"] or 0) <= 0.5
    assert (near["JPEG rgb_db"] or 0) >= 20
    assert (near["JPEG y_db"] or 0) >= 5
