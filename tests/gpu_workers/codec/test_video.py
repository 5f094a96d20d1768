from __future__ import annotations

import random
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from gpu_workers.codec.video import FrameReader, facts
from lab.errors import UserError
from support.footage import VIDEO, ffmpeg, planar, synthetic

FORMATS = [chroma + depth for chroma, depth in product(("yuv420p", "yuv422p", "yuv444p", "gray"), ("", "10le"))]


def delivered(path: Path) -> bytes:
    return b"".join(frame.to_bytes() for frame in FrameReader(path))


@pytest.mark.parametrize("clip", ["talk_540x720p30", "night_540p50"])
def test_frames_are_those_that_ffmpeg_decodes(clip: str) -> None:
    path = VIDEO / f"{clip}.mp4"
    assert delivered(path) == planar(path)


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_each_layout_is_delivered_untouched_also_at_an_odd_size(pix_fmt: str, tmp_path: Path) -> None:
    clip = synthetic(tmp_path / "clip.mkv", pix_fmt, "97x61")
    info = FrameReader(clip).info
    assert (info.width, info.height, info.pix_fmt, info.frames) == (97, 61, pix_fmt, 5)
    assert delivered(clip) == planar(clip)


@pytest.mark.parametrize(
    ("source", "target"),
    [("yuv411p", "yuv444p"), ("nv12", "yuv420p"), ("yuv420p12le", "yuv420p10le"), ("yuva420p", "yuv420p"),
     ("gray12le", "gray10le"), ("yuyv422", "yuv422p")],
)  # fmt: skip
def test_other_formats_are_converted_and_the_info_says_what_comes(source: str, target: str, tmp_path: Path) -> None:
    coder = ["-c:v", "rawvideo"] if source in {"nv12", "yuyv422"} else []
    clip = synthetic(tmp_path / "clip.nut", source, "96x64", 3, *coder)
    reader = FrameReader(clip)
    assert reader.info.pix_fmt == target
    assert reader.converted_from == source
    exact = np.frombuffer(planar(clip, "-pix_fmt", target), reader.info.dtype).astype(int)
    got = np.frombuffer(delivered(clip), reader.info.dtype).astype(int)
    assert np.abs(exact - got).max() <= 1


def test_rgb_becomes_bt709_limited_yuv444(tmp_path: Path) -> None:
    clip = synthetic(tmp_path / "clip.mkv", "gbrp", "96x64", 1)
    rgb = np.frombuffer(planar(clip, "-pix_fmt", "rgb24"), np.uint8).reshape(64, 96, 3) / 255
    reader = FrameReader(clip)
    luma = 16 + 219 * rgb @ [0.2126, 0.7152, 0.0722]
    assert (reader.info.pix_fmt, reader.info.matrix, reader.info.full_range) == ("yuv444p", "bt709", False)
    assert np.abs(reader[0].planes[0] - luma).max() <= 1


@pytest.mark.parametrize("source", ["yuvj420p", "yuv420p"])
def test_full_range_is_told_and_samples_stay_as_they_are(source: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64", "-frames:v", "3", "-pix_fmt", source,
           "-color_range", "pc", "-c:v", "libx264", "-qp", "0", clip)  # fmt: skip
    info = FrameReader(clip).info
    assert (info.full_range, info.pix_fmt) == (True, "yuv420p")
    assert delivered(clip) == planar(clip)


@pytest.mark.parametrize(("code", "matrix"), [(1, "bt709"), (2, "unspecified"), (6, "bt601"), (9, "bt2020")])
def test_the_matrix_is_read_from_the_stream(code: int, matrix: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64", "-frames:v", "1", "-pix_fmt", "yuv420p", "-c:v", "libx264",
           "-bsf:v", f"h264_metadata=matrix_coefficients={code}", clip)  # fmt: skip
    assert FrameReader(clip).info.matrix == matrix


@pytest.mark.parametrize("angle", [90, 180, 270])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p"])
def test_a_portrait_recording_comes_upright(angle: int, pix_fmt: str, tmp_path: Path) -> None:
    lying, turned = tmp_path / "lying.mp4", tmp_path / "turned.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64", "-frames:v", "3", "-pix_fmt", pix_fmt, "-c:v", "libx264", lying)
    ffmpeg("-display_rotation", str(angle), "-i", lying, "-c", "copy", turned)
    info = FrameReader(turned).info
    assert (info.width, info.height) == ((96, 64) if angle == 180 else (64, 96))
    expected = planar(turned, "-pix_fmt", info.pix_fmt)  # ffmpeg turns it by itself
    luma = info.width * info.height
    got = delivered(turned)
    assert got[:luma] == expected[:luma]
    if pix_fmt == "yuv420p":
        assert got == expected


def test_reading_again_and_by_index_gives_the_same_frames() -> None:
    reader = FrameReader(VIDEO / "walk_480p30.mp4")
    frames = [frame.to_bytes() for frame in reader]
    assert [frame.to_bytes() for frame in reader] == frames
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    order = random.Random(seed).sample(range(len(reader)), 20)
    assert all(reader[number].to_bytes() == frames[number] for number in order), order
    assert reader[-1].to_bytes() == frames[-1]
    for wrong in (62, -63):
        with pytest.raises(IndexError, match="of 62"):
            reader[wrong]


@pytest.mark.parametrize(
    ("name", "coder"), [("a.hevc", "libx265"), ("a.h264", "libx264"), ("a.ivf", "libsvtav1"), ("a.266", "libvvenc")]
)
def test_an_elementary_stream_can_be_read_by_index(name: str, coder: str, tmp_path: Path) -> None:
    quiet = ["-x265-params", "log-level=error"] if coder == "libx265" else []
    ffmpeg("-i", VIDEO / "night_540p50.mp4", "-frames:v", "12", "-vf", "scale=160:90", "-g", "5", "-c:v", coder, *quiet,
           tmp_path / name)  # fmt: skip
    reader = FrameReader(tmp_path / name)
    frames = [frame.to_bytes() for frame in reader]
    assert len(frames) == len(reader) == 12
    assert b"".join(frames) == planar(tmp_path / name)
    assert [reader[number].to_bytes() for number in (11, 6, 7, 0, 3)] == [frames[i] for i in (11, 6, 7, 0, 3)]


def test_random_access_keeps_few_frames_only() -> None:
    reader = FrameReader(VIDEO / "walk_480p30.mp4")
    for number in range(30):
        reader[number]
    assert len(reader._cursor._kept) <= 4


def test_a_variable_rate_becomes_its_average(tmp_path: Path) -> None:
    clip = tmp_path / "variable.mp4"
    shown = [*range(9), *range(9, 60, 3)]  # of 50 frames a second: first all of them, then every third
    some = "select='lt(n,9)+not(mod(n,3))'"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=50:duration=1.2", "-vf", some,
           "-fps_mode", "vfr", "-pix_fmt", "yuv420p", "-c:v", "libx264", clip)  # fmt: skip
    info = FrameReader(clip).info
    assert info.frames == len(shown) == len(planar(clip)) // info.frame_bytes
    assert float(info.fps) == pytest.approx((len(shown) - 1) / (shown[-1] / 50), rel=0.02)


def test_a_fractional_rate_stays_exact() -> None:
    assert FrameReader(VIDEO / "walk_480p30.mp4").info.fps == Fraction(30000, 1001)


def test_frames_that_an_edit_list_cuts_away_are_not_delivered(tmp_path: Path) -> None:
    clip = tmp_path / "trimmed.mp4"
    ffmpeg("-ss", "0.5", "-i", VIDEO / "walk_480p30.mp4", "-c", "copy", clip)
    expected = planar(clip)
    info = FrameReader(clip).info
    assert 0 < info.frames < 62
    assert delivered(clip) == expected


def test_a_photograph_is_a_video_of_one_frame() -> None:
    reader = FrameReader(VIDEO.parent / "photo" / "cat.png")
    assert (len(reader), reader.info.width, reader.info.height) == (1, 451, 300)
    assert len(list(reader)) == 1


def test_facts_are_those_of_the_manifest() -> None:
    found = facts(VIDEO / "walk_480p30.mp4")
    assert (found["width"], found["height"], found["frames"], found["pix_fmt"]) == (848, 480, 62, "yuv420p")
    assert found["bytes"] == 686_278
    assert found["duration_s"] == pytest.approx(62 * 1001 / 30000)
    assert found["codec"] == "h264"
    # The whole file is 2.654 Mbps; the stream is less by the container's tables.
    assert 2.6 < found["source_mbps"] < 2.654


def test_what_cannot_be_read_is_one_line_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").touch()
    whole = synthetic(tmp_path / "whole.mp4", "yuv420p", "96x64", 5, "-c:v", "libx264")
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:-100])
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "sound.wav")
    for name in ("notes.mp4", "empty.mp4", "cut.mp4", "sound.wav", "absent.mp4", "."):
        with pytest.raises(UserError) as caught:
            FrameReader(tmp_path / name).info  # noqa: B018
        assert "\n" not in str(caught.value)
        assert name.strip(".") in str(caught.value)
        assert ";" in str(caught.value), "the fix follows the semicolon"


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_damaged_file_is_read_alike_each_time_or_is_one_line_with_the_fix(container: str, tmp_path: Path) -> None:
    whole = synthetic(tmp_path / f"whole.{container}", "yuv420p", "96x64", 8, "-c:v", "libx264").read_bytes()
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 3, 20))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        (tmp_path / "damaged").write_bytes(data)
        try:
            reader = FrameReader(tmp_path / "damaged", threads=1)
            assert sum(1 for _ in reader) == len(reader) > 0
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_a_file_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    parts = []
    for size in ("96x64", "64x48"):
        part = tmp_path / f"{size}.h264"
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}", "-frames:v", "3", "-pix_fmt", "yuv420p", part)
        parts.append(part.read_bytes())
    (tmp_path / "both.h264").write_bytes(b"".join(parts))
    with pytest.raises(UserError, match="changes from 96×64 yuv420p to 64×48"):
        list(FrameReader(tmp_path / "both.h264"))
