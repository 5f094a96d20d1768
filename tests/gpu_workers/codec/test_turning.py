"""The one knob of a learned family: whole points of its space, and the rate or quality that was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_workers.codec.families.knobs import KNOBS
from gpu_workers.codec.searching import RATE_TOLERANCE
from gpu_workers.codec.spec import TRACK
from gpu_workers.codec.transcode import encode_file
from lab.space import Value, problems
from support.footage import cut

BARE: dict[str, Value] = {"channels": 0, "scale": "full"}  # no network, so that a trial takes no time


@pytest.mark.parametrize("family", KNOBS)
def test_a_knob_is_a_dimension_of_its_familys_space_from_one_end_to_the_other(family: str) -> None:
    knob = KNOBS[family]
    assert knob.space == TRACK.family(family).space
    dimension = next(d for d in knob.space if d.name == knob.name)
    ends = knob.value(0), knob.value(knob.steps)
    assert ends == (dimension.low, dimension.high)  # type: ignore[union-attr]
    values = [knob.value(step) for step in range(knob.steps + 1)]
    assert values == sorted(set(values)), "each step turns it further"


def test_what_is_not_said_is_plain_and_only_where_it_exists() -> None:
    knob = KNOBS["restore"]
    whole = knob.point({"crf": 40.0})
    assert problems(knob.space, whole) == []
    bare = knob.point({"crf": 40.0, "channels": 0})
    assert problems(knob.space, bare) == []
    assert "mode" not in bare
    assert problems(knob.space, knob.point({"crf": 40.0, "colour": "red"})) == ["colour is not a parameter here"]


def test_the_asked_rate_and_the_asked_quality_are_met(tmp_path: Path) -> None:
    source = cut("walk_480p30", 12, tmp_path, "scale=192:108")
    by_rate = encode_file(source, tmp_path / "a.aec", family="restore", mbps=0.2, params=BARE)
    assert abs(by_rate.mbps / 0.2 - 1) <= RATE_TOLERANCE
    by_psnr = encode_file(source, tmp_path / "b.aec", family="restore", psnr_db=30.0, params=BARE)
    assert by_psnr.psnr_y_db is not None
    assert 30.0 <= by_psnr.psnr_y_db <= 30.3
    as_told = encode_file(source, tmp_path / "c.aec", family="restore", crf=50, params=BARE)
    assert (as_told.params["crf"], as_told.encodings) == (50.0, 1)
