"""The cost of a decoder's network, counted on the graph that a stream really runs."""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gpu_workers.codec.contract import Chunk, Kind, VideoInfo
from gpu_workers.codec.decoder.classic import Coding
from gpu_workers.codec.decoder.restore import Origin, Setup
from gpu_workers.codec.decoder.restore_filter import Filter, Layer
from gpu_workers.codec.encoding import stream_header, write_stream
from gpu_workers.codec.network import NOTHING, stream_cost

CODING = Coding(codec="av1", width=320, height=180, pix_fmt="yuv420p")
VIDEO = VideoInfo(width=320, height=180, fps_num=25, fps_den=1, frames=4, pix_fmt="yuv420p")


def sides(channels: int) -> tuple[int, ...]:
    return (6, channels, channels, channels, 6)


def filter_of(channels: int) -> Filter:
    return Filter(tuple(Layer(np.zeros((b, a, 3, 3), np.int32), np.zeros(b, np.int32), 6)
                        for a, b in pairwise(sides(channels))))


def kmac_px(channels: int) -> float:
    """By hand: nine taps from each plane to each, at a quarter of the positions."""
    return sum(a * b * 9 for a, b in pairwise(sides(channels))) / 4 / 1e3


@pytest.mark.ci
def test_a_stream_costs_what_its_dearest_network_costs_and_one_without_costs_nothing(tmp_path: Path) -> None:
    agent = import_module("gpu_workers.codec.decoder.restore")
    bare = [Chunk(Kind.CONFIG, 0, Setup(Origin.NONE, CODING).to_bytes())]
    two = [chunk for index, channels in enumerate((8, 16)) for chunk in (
        Chunk(Kind.CONFIG, index, Setup(Origin.CLIP, CODING).to_bytes()),
        Chunk(Kind.WEIGHTS, index, filter_of(channels).to_bytes()))]
    for name, chunks in (("bare", bare), ("two", two)):
        write_stream(chunks, tmp_path / name, stream_header(VIDEO, "restore"), lambda done: None)
    assert stream_cost(agent, tmp_path / "bare", None) == NOTHING
    found = stream_cost(agent, tmp_path / "two", None)
    assert kmac_px(16) < found.kmac_px < 1.3 * kmac_px(16), "what it sees around a small picture counts too"
    assert found.teraops_frame == pytest.approx(2 * found.kmac_px * 1e3 * 320 * 180 / 1e12)
