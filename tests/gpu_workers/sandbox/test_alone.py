"""A decoder from outside: nothing runs beside it while it is timed, nor, in a confirmation, while it is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_workers.codec.encoding import encode
from gpu_workers.codec.phases import CODE, DECODING_AGENT, ENCODING_AGENT, RECORDS, STREAMS, phases
from gpu_workers.codec.scoring import score
from gpu_workers.codec.spec import TRACK
from gpu_workers.machine import MachineLock, Seat
from gpu_workers.phase import BoundClip, Box
from lab.experiment import Purpose, Spec
from support.boxes import need_sandbox
from support.footage import cut

SPEC = Spec(track="codec", family="candidate", params={}, clips="c" * 64, seed=1, protocol=1, code="d" * 64)
AGENTS = {
    ENCODING_AGENT: """
from aether_kit import Chunk, Kind


def encode(frames, info, model):
    for index in range(len(frames)):
        yield Chunk(Kind.KEY, index, b"grey")
""",
    DECODING_AGENT: """
import numpy as np
from aether_kit import Frame


def decode(chunks, info, model):
    for chunk in chunks:
        yield Frame(tuple(np.full(shape, 128, np.uint8) for shape in info.video.plane_shapes))
"""}


def box(folder: Path, phase: str, inputs: dict[str, Path], purpose: Purpose, progress: Callable[..., None]) -> Box:
    """What the worker gives that phase; its decoders run in boxes."""
    clip = cut("flower_720p30", 4, folder, "scale=160:90")
    bound = BoundClip(name="flower", hash="0" * 64, role="score", path=str(clip), facts=TRACK.facts(clip))
    timed = purpose == "confirm" and next(one for one in phases(SPEC) if one.name == phase).timed
    (folder / phase).mkdir()
    return Box(SPEC, (bound,), inputs, folder / phase, 1, timed, MachineLock(folder / "machine"), 30.0, progress, 1024)


@pytest.mark.parametrize(("purpose", "measured"), [("explore", "beside others"), ("confirm", "alone")])
def test_it_has_the_machine_to_itself(tmp_path: Path, purpose: Purpose, measured: str) -> None:
    need_sandbox()
    (tmp_path / "code").mkdir()
    for name, text in AGENTS.items():
        (tmp_path / "code" / name).write_text(text)
    found = set[tuple[str, str]]()

    def look(**claims: Any) -> None:
        """Whether another box would get a seat on the machine now."""
        seat = Seat(tmp_path / "machine", alone=False)
        found.add(("timed" if "note" in claims else "measured", "beside others" if seat.taken() else "alone"))
        seat.close()

    code = {CODE: tmp_path / "code"}
    encode(box(tmp_path, "encode", code, purpose, lambda **claims: None))
    coded = {f"encode/{name}": tmp_path / "encode" / name.rstrip("/") for name in (f"{STREAMS}/", RECORDS)}
    score(box(tmp_path, "score", code | coded, purpose, look))
    assert found == {("measured", measured), ("timed", "alone")}
