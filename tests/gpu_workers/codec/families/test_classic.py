import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gpu_workers.codec.contract import EncodeInfo, Frame, Kind, VideoInfo
from gpu_workers.codec.decoder.classic import Coding
from gpu_workers.codec.families import classic
from gpu_workers.codec.families.classic_space import SPACE, as_people_run
from gpu_workers.codec.families.ffmpeg import EncoderFailed
from gpu_workers.codec.measure.psnr import mse, psnr_db
from lab.errors import UserError
from lab.space import Value, sample
from support.footage import noise
from support.streams import QUICK, Clip, chunks_of, crop, decoded, encoded

CLIP = crop("walk_480p30", 12, 160, 96)
SMALL = crop("walk_480p30", 6, 160, 96)


def psnr_y_db(clip: Clip, frames: list[Frame]) -> float:
    depth = clip.info.bit_depth
    return float(np.mean([psnr_db(mse(a.planes[0], b.planes[0]), depth) for a, b in zip(clip, frames, strict=True)]))


def code_random_point(seed: int) -> None:
    params = sample(SPACE, random.Random(seed))
    frames = decoded(encoded(SMALL, params))
    assert len(frames) == len(SMALL), params
    assert psnr_y_db(SMALL, frames) > 12, params


@pytest.mark.parametrize("seed", range(12))
def test_a_random_point_of_the_space_codes_and_decodes(seed: int) -> None:
    code_random_point(seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 300))
def test_two_hundred_random_points_of_the_space_code_and_decode(seed: int) -> None:
    code_random_point(seed)


@pytest.mark.parametrize("encoder", ["x265", "svtav1", "vvenc"])
def test_the_same_frames_give_the_same_bytes_with_any_number_of_threads(encoder: str) -> None:
    clip = crop("walk_480p30", 10, 256, 192)
    assert encoded(clip, QUICK[encoder], threads=1) == encoded(clip, QUICK[encoder], threads=2)
    assert encoded(clip, QUICK[encoder], threads=2) == encoded(clip, QUICK[encoder], threads=2)


@pytest.mark.parametrize("encoder", ["x265", "svtav1", "vvenc"])
def test_each_access_unit_is_one_chunk_and_knows_its_frame(encoder: str) -> None:
    setup, *pictures = chunks_of(CLIP, QUICK[encoder])
    assert setup.kind is Kind.CONFIG
    assert sorted(picture.index for picture in pictures) == list(range(len(CLIP)))
    assert pictures[0].kind is Kind.KEY
    frames = decoded(encoded(CLIP, QUICK[encoder]))
    assert all(mse(CLIP[i].planes[0], frames[i].planes[0]) < mse(CLIP[(i + 6) % 12].planes[0], frames[i].planes[0])
               for i in range(len(CLIP)))  # fmt: skip


@pytest.mark.parametrize("encoder", ["x265", "svtav1", "vvenc"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv444p10le", "gray10le"])
def test_every_layout_comes_back_in_its_own(encoder: str, pix_fmt: str) -> None:
    info = msgspec.convert({"width": 70, "height": 66, "fps_num": 25, "fps_den": 1, "frames": 2, "pix_fmt": pix_fmt},
                           VideoInfo)  # fmt: skip
    depth = info.bit_depth - 8
    ramps = [Frame(tuple((np.add.outer(np.arange(r), np.arange(c)) + 60 * place + shift << depth).astype(info.dtype)
                         for place, (r, c) in enumerate(info.plane_shapes))) for shift in (0, 3)]  # fmt: skip
    frames = decoded(encoded(Clip(info, ramps), QUICK[encoder]))
    errors = [np.abs(a.astype(int) - b).mean() for ramp, frame in zip(ramps, frames, strict=True)
              for a, b in zip(ramp.planes, frame.planes, strict=True)]  # fmt: skip
    assert max(errors) < 6 << depth


@pytest.mark.parametrize("encoder", ["x265", "svtav1", "vvenc"])
@pytest.mark.parametrize(
    ("width", "height", "frames"), [(1, 1, 1), (2, 130, 2), (34, 30, 3), (65, 67, 1), (131, 17, 4)]
)
def test_any_size_and_length_comes_back(encoder: str, width: int, height: int, frames: int) -> None:
    layout = VideoInfo(width=width, height=height, fps_num=24, fps_den=1, frames=frames, pix_fmt="yuv420p")
    got = decoded(encoded(Clip(layout, noise(layout, seed=width)), QUICK[encoder]))
    assert len(got) == frames
    assert all(frame.planes[0].shape == (height, width) for frame in got)


@pytest.mark.parametrize("encoder", ["x265", "svtav1", "vvenc"])
@pytest.mark.parametrize("scale", ["full", "2/3"])
def test_an_odd_1080p_comes_back_where_it_lay(encoder: str, scale: str) -> None:
    clip = crop("drive_1080p30", 2, 1919, 1079)
    frames = decoded(encoded(clip, {**QUICK[encoder], "scale": scale}, threads=2))
    assert [tuple(plane.shape for plane in frame.planes) for frame in frames] == [clip.info.plane_shapes] * 2
    assert psnr_y_db(clip, frames) > 30  # one sample off would leave less


@pytest.mark.parametrize("scale", ["2/3", "1/2"])
def test_a_smaller_coding_is_enlarged_to_the_sources_size_where_it_lay(scale: str) -> None:
    clip = crop("walk_480p30", 4, 400, 300)
    full = as_people_run("svtav1", svtav1_crf=20.0, svtav1_preset=10)
    small = {**full, "scale": scale}
    assert len(encoded(clip, small)) < len(encoded(clip, full))
    assert psnr_y_db(clip, decoded(encoded(clip, small))) > 22  # one sample off would cost more than this


def test_ten_bit_coding_of_eight_bit_comes_back_in_eight_bit_and_hardly_differs() -> None:
    params = as_people_run("x265", x265_crf=12.0, x265_preset="superfast")
    eight, ten = (decoded(encoded(CLIP, {**params, "bit_depth": depth})) for depth in (8, 10))
    assert ten[0].planes[0].dtype == np.uint8
    assert abs(psnr_y_db(CLIP, ten) - psnr_y_db(CLIP, eight)) < 2


def test_full_range_samples_are_not_squeezed() -> None:
    layout = VideoInfo(width=96, height=64, fps_num=25, fps_den=1, frames=1, pix_fmt="yuv420p", full_range=True)
    black_and_white = Frame(tuple(np.where(np.arange(c) < c // 2, 0, 255).astype(np.uint8)[None].repeat(r, 0)
                                  for r, c in layout.plane_shapes))  # fmt: skip
    for params in QUICK.values():
        [frame] = decoded(encoded(Clip(layout, [black_and_white]), params))
        assert frame.planes[0].min() < 5
        assert frame.planes[0].max() > 250


@pytest.mark.parametrize("encoder", ["x265", "vvenc"])
def test_two_passes_meet_an_average_rate_better_than_they_miss_it(encoder: str) -> None:
    clip = crop("walk_480p30", 40, 256, 192)
    params = as_people_run(encoder, **{f"{encoder}_mbps": 0.4, f"{encoder}_preset": "faster"})
    assert params[f"{encoder}_passes"] == 2
    mbps = len(encoded(clip, params, threads=2)) * 8e-6 / clip.info.duration_s
    assert 0.3 < mbps < 0.5


def test_svtav1_takes_a_crf_above_ffmpegs_63() -> None:
    points = [as_people_run("svtav1", svtav1_crf=crf, svtav1_preset=10) for crf in (60.0, 63.0, 70.0)]
    low, ffmpegs_end, high = (len(encoded(CLIP, params)) for params in points)
    assert low > ffmpegs_end > high


def test_no_settings_text_and_no_delimiters_travel_in_the_stream() -> None:
    for params in QUICK.values():
        setup, *pictures = chunks_of(CLIP, params)
        everything = Coding.from_bytes(setup.data).extradata + b"".join(picture.data for picture in pictures)
        assert b"x265" not in everything
        assert b"options" not in everything
        assert not any(picture.data.startswith(b"\x12\x00") for picture in pictures)


def test_parameters_outside_the_space_are_refused_before_anything_runs(tmp_path: Path) -> None:
    wrong: dict[str, Value] = {**QUICK["x265"], "x265_crf": 99.0}
    with pytest.raises(UserError, match=r"x265_crf=99\.0 is outside"):
        list(classic.encode(CLIP, EncodeInfo(video=CLIP.info, params=wrong, scratch=tmp_path), None))


def test_an_encoder_that_gives_up_is_told_in_its_own_words(tmp_path: Path) -> None:
    statistics = tmp_path / "gone" / "deeper"  # a folder that is not there: the first pass cannot leave its statistics
    params = as_people_run("x265", x265_mbps=1.0)
    with pytest.raises(EncoderFailed, match="x265"):
        list(classic.encode(CLIP, EncodeInfo(video=CLIP.info, params=params, scratch=statistics), None))


def test_a_source_that_fails_is_not_blamed_on_the_encoder(tmp_path: Path) -> None:
    class Broken(Clip):
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield self[0]
            raise OSError("the disk is gone")

    broken = Broken(CLIP.info, [CLIP[0], CLIP[1]])
    with pytest.raises(OSError, match="the disk is gone"):
        list(classic.encode(broken, EncodeInfo(video=CLIP.info, params=QUICK["x265"], scratch=tmp_path), None))


def test_an_encoding_that_is_abandoned_leaves_no_process(tmp_path: Path) -> None:
    import os

    def children() -> set[str]:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

    before = children()
    chunks = classic.encode(CLIP, EncodeInfo(video=CLIP.info, params=QUICK["svtav1"], scratch=tmp_path), None)
    next(iter(chunks))
    assert children() != before
    chunks.close()
    assert children() == before
