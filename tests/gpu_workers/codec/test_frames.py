from __future__ import annotations

import io
import os
import threading
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_workers.codec.frames import BadFrames, Frame, RawReader, VideoInfo, check_layout
from support.footage import noise

FORMATS = [chroma + depth for chroma, depth in product(("yuv420p", "yuv422p", "yuv444p", "gray"), ("", "10le"))]


def layout(pix_fmt: str = "yuv420p", width: int = 6, height: int = 4, frames: int = 3) -> VideoInfo:
    return VideoInfo(width=width, height=height, fps_num=30000, fps_den=1001, frames=frames, pix_fmt=pix_fmt)


@given(st.sampled_from(FORMATS), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_a_frame_survives_its_planar_bytes(pix_fmt: str, width: int, height: int, seed: int) -> None:
    info = layout(pix_fmt, width, height, frames=1)
    (frame,) = noise(info, seed)
    data = frame.to_bytes()
    assert len(data) == info.frame_bytes
    again = Frame.from_bytes(data, info)
    assert check_layout(again, info) is again
    assert all(np.array_equal(a, b) for a, b in zip(frame.planes, again.planes, strict=True))


def test_ten_bit_samples_travel_as_little_endian_words() -> None:
    info = layout("gray10le", 2, 1, 1)
    assert Frame((np.array([[1, 0x3FF]], np.uint16),)).to_bytes() == b"\x01\x00\xff\x03"
    assert Frame.from_bytes(b"\x01\x00\xff\x03", info).planes[0].tolist() == [[1, 1023]]


def test_an_odd_size_rounds_its_chroma_up() -> None:
    assert layout("yuv420p", 5, 3).plane_shapes == ((3, 5), (2, 3), (2, 3))
    assert layout("yuv422p", 5, 3).plane_shapes == ((3, 5), (3, 3), (3, 3))
    assert layout("gray10le", 5, 3).frame_bytes == 30


def test_duration_is_exact_at_a_fractional_rate() -> None:
    assert layout(frames=30000).duration_s == 1001.0


def test_a_raw_stream_gives_its_frames_and_ends() -> None:
    info = layout()
    frames = noise(info, 1)
    got = list(RawReader(io.BytesIO(b"".join(frame.to_bytes() for frame in frames)), info))
    assert [frame.to_bytes() for frame in got] == [frame.to_bytes() for frame in frames]


def test_a_pipe_that_dribbles_gives_whole_frames() -> None:
    info = layout(width=64, height=48)
    data = b"".join(frame.to_bytes() for frame in noise(info, 2))
    reading, writing = os.pipe()

    def dribble() -> None:
        with open(writing, "wb", buffering=0) as pipe:
            for start in range(0, len(data), 1000):
                pipe.write(data[start : start + 1000])

    writer = threading.Thread(target=dribble)
    writer.start()
    with open(reading, "rb", buffering=0) as pipe:
        got = list(RawReader(pipe, info))
    writer.join()
    assert b"".join(frame.to_bytes() for frame in got) == data


@pytest.mark.parametrize("missing", [1, 36, 108])
def test_a_raw_stream_that_ends_early_says_where(missing: int) -> None:
    info = layout()
    data = bytes(info.frame_bytes * info.frames)[:-missing]
    with pytest.raises(BadFrames, match=rf"ended after {len(data) // info.frame_bytes} of 3"):
        list(RawReader(io.BytesIO(data), info))


def test_a_raw_stream_that_goes_on_is_refused() -> None:
    info = layout()
    with pytest.raises(BadFrames, match="more bytes came than the 3 frames"):
        list(RawReader(io.BytesIO(bytes(info.frame_bytes * info.frames + 1)), info))


def test_a_frame_of_another_size_or_depth_is_refused() -> None:
    for other in (layout(width=8), layout("yuv420p10le"), layout("gray"), layout("yuv444p")):
        with pytest.raises(BadFrames, match="in a video of 6×4 yuv420p"):
            check_layout(noise(other, 0)[0], layout())
    with pytest.raises(BadFrames, match="of nothing in a video of"):
        check_layout(Frame(()), layout())
    with pytest.raises(BadFrames, match="36 bytes"):
        Frame.from_bytes(bytes(35), layout())
