"""Streams of today decode for ever, to the bit."""

import hashlib
import io
import json
from pathlib import Path

import pytest

from gpu_workers.codec.decoder.container import Reader
from gpu_workers.codec.decoder.decode import Decoded
from support.streams import decoded, planar

FOLDER = Path(__file__).resolve().parents[3] / "data" / "golden"
EXPECTED = json.loads((FOLDER / "golden.json").read_text())


def test_every_golden_stream_has_its_digest() -> None:
    assert {path.stem for path in FOLDER.glob("*.aec")} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_golden_stream_decodes_to_the_planes_it_always_did(name: str) -> None:
    data = (FOLDER / f"{name}.aec").read_bytes()
    frames = decoded(data)
    assert len(frames) == EXPECTED[name]["frames"]
    assert hashlib.sha256(planar(frames)).hexdigest() == EXPECTED[name]["sha256"]
    assert Reader(io.BytesIO(data)).header.family == "classic"


@pytest.mark.ci
@pytest.mark.parametrize("name", ["fitted", "trained"])
def test_a_golden_stream_that_a_filter_restores_does_so_too(name: str) -> None:
    folder = FOLDER / "restore"
    model = folder / "model.safetensors"
    expected = json.loads((folder / "golden.json").read_text())[name]
    with (folder / f"{name}.aec").open("rb") as file:
        frames = list(Decoded(file, models={hashlib.sha256(model.read_bytes()).hexdigest(): model}))
    assert len(frames) == expected["frames"]
    assert hashlib.sha256(planar(frames)).hexdigest() == expected["sha256"]
