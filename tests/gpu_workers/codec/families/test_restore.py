"""The family `restore` from end to end: what it takes, what it gives, and that both are the same everywhere."""

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gpu_workers.codec.contract import Chunk, DecodeInfo, Frame, Kind, VideoInfo
from gpu_workers.codec.decoder import restore as restore_decoder
from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.decoder.restore import Origin, Setup, restorer
from gpu_workers.codec.decoder.restore_filter import Filter
from gpu_workers.codec.families import classic
from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.families.restore import best
from gpu_workers.codec.families.restore_base import OVERHEAD, Base, Curve, base_contents, psnr_y_db
from gpu_workers.codec.families.restore_space import PRESET, SPACE
from lab.errors import UserError
from lab.space import sample
from support.footage import noise
from support.kernels import AVX2, need_avx512
from support.restoring import (
    FITTED,
    PLAIN,
    TRAINED,
    blurred_on_the_way,
    decoded_elsewhere,
    encode_info,
    random_filter,
    restore_chunks,
    restore_stream,
)
from support.streams import Clip, crop, decoded, encoded, header_of, planar, stream, until_error

CLIP = crop("walk_480p30", 6, 160, 128)
SHARP = crop("walk_480p30", 24, 240, 160)


def odd(pix_fmt: str) -> Clip:
    """Sides that two does not divide."""
    clip = crop("walk_480p30", 8, 191, 161)
    shift = 2 if pix_fmt.endswith("10le") else 0
    info = msgspec.structs.replace(clip.info, pix_fmt=pix_fmt)
    return Clip(info, [Frame(tuple(plane.astype(info.dtype) << shift for plane in frame.planes)) for frame in clip])


def setups(chunks: list[Chunk]) -> list[Setup]:
    return [Setup.from_bytes(chunk.data) for chunk in chunks if chunk.kind is Kind.CONFIG]


def kinds(chunks: list[Chunk]) -> list[Kind]:
    return [chunk.kind for chunk in chunks if chunk.kind not in (Kind.KEY, Kind.DELTA)]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder sees blurred pictures, so that there is something to restore."""
    monkeypatch.setattr(classic, "to_coded", blurred_on_the_way)


# ---------------------------------------------------------------------- without a filter


def test_without_a_filter_it_is_svtav1_and_a_byte_a_shot() -> None:
    alone = as_people_run("svtav1", svtav1_crf=35.0, svtav1_preset=PRESET, scale="full", gop_frames=64, bit_depth=8)
    ours, theirs = restore_stream(CLIP, PLAIN), encoded(CLIP, alone)
    assert len(ours) == len(theirs) + 1
    assert planar(decoded(ours)) == planar(decoded(theirs))


def test_the_size_is_the_one_that_measures_best() -> None:
    soft = crop("talk_540x720p30", 6, 400, 320)
    auto = {**PLAIN, "crf": 63.0, "scale": "auto"}
    [setup] = setups(restore_chunks(soft, auto))
    fixed = {scale: psnr_y_db(soft, decoded(restore_stream(soft, {**auto, "scale": scale})), soft.info)
             for scale in ("full", "2/3", "1/2")}  # fmt: skip
    assert setup.coding.width < soft.info.width, f"at this rate a smaller size wins: {fixed}"


def test_a_rich_rate_keeps_the_full_size() -> None:
    sharp = crop("flower_720p30", 4, 256, 192)
    [setup] = setups(restore_chunks(sharp, {**PLAIN, "crf": 18.0, "scale": "auto"}))
    assert (setup.coding.width, setup.coding.height) == (256, 192)


def test_each_shot_is_coded_by_itself_and_comes_back_in_its_place() -> None:
    a, b = crop("walk_480p30", 26, 128, 96), crop("night_540p50", 26, 128, 96)
    film = Clip(a.info, [*a, *b])
    chunks = restore_chunks(film, PLAIN)
    assert [chunk.index for chunk in chunks if chunk.kind is Kind.CONFIG] == [0, 26]
    frames = decoded(stream(header_of(film.info, "restore"), chunks))
    assert planar(frames[:26]) == planar(decoded(restore_stream(a, PLAIN)))
    assert planar(frames[26:]) == planar(decoded(restore_stream(b, PLAIN)))


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p10le", "gray", "gray10le"])
def test_a_source_that_no_filter_can_be_for_gets_none(pix_fmt: str) -> None:
    layout = msgspec.convert({"width": 70, "height": 66, "fps_num": 25, "fps_den": 1, "frames": 2, "pix_fmt": pix_fmt},
                             VideoInfo)  # fmt: skip
    chunks = restore_chunks(Clip(layout, noise(layout, 1)), FITTED)
    assert [setup.origin for setup in setups(chunks)] == [Origin.NONE]
    assert len(decoded(stream(header_of(layout, "restore"), chunks))) == 2


def test_a_filter_for_another_layout_is_refused_in_words() -> None:
    [_, *pictures] = restore_chunks(CLIP, PLAIN)
    [setup] = setups(restore_chunks(CLIP, PLAIN))
    told = Chunk(Kind.CONFIG, 0, Setup(Origin.CLIP, setup.coding).to_bytes())
    grey = msgspec.structs.replace(CLIP.info, pix_fmt="yuv422p")
    weights = Chunk(Kind.WEIGHTS, 0, b"")
    with pytest.raises(BadStream, match="no filter can be for yuv422p"):
        restorer(random_filter(8, 1), setup.coding, grey)
    with pytest.raises(BadStream, match="before the weights"):
        decoded(stream(header_of(CLIP.info, "restore"), [told, *pictures]))
    with pytest.raises(BadStream, match="damaged"):
        decoded(stream(header_of(CLIP.info, "restore"), [told, weights, *pictures]))


def test_parameters_outside_the_space_are_refused() -> None:
    for change in ({"crf": 90.0}, {"scale": "1/3"}, {"steps": 150}, {"channels": 8}):
        with pytest.raises(UserError, match="no such restore codec"):
            restore_chunks(CLIP, {**PLAIN, **change})


def test_a_trained_filter_that_is_missing_is_told_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--model"):
        restore_chunks(CLIP, TRAINED)
    (tmp_path / "none.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="holds no filter"):
        restore_chunks(CLIP, TRAINED, model=tmp_path / "none.safetensors")


def test_the_judge_reads_off_the_curve_what_a_db_is_worth() -> None:
    coding = setups(restore_chunks(CLIP, PLAIN))[0].coding
    asked = Base("full", 40.0, coding, (Chunk(Kind.KEY, 0, bytes(1000 - OVERHEAD)),), 30.0)
    curve = Curve(asked, 0.2)
    assert curve.saving(1000, 30.0) == 0
    assert curve.saving(1000, 31.0) == pytest.approx(0.2)
    assert curve.saving(1000 * np.exp(0.2), 31.0) == pytest.approx(0)
    assert curve.saving(2000, 30.0) == pytest.approx(-np.log(2))


# ---------------------------------------------------------------------- with a filter


@pytest.mark.ci
def test_a_planted_blur_is_taken_back_by_more_than_a_decibel_with_the_weights_counted(planted: None) -> None:
    chunks = restore_chunks(SHARP, FITTED)
    data = stream(header_of(SHARP.info, "restore"), chunks)
    assert kinds(chunks) == [Kind.CONFIG, Kind.WEIGHTS]
    without = [restore_stream(SHARP, {**PLAIN, "crf": crf}) for crf in (35.0, 30.0, 25.0)]
    assert max(map(len, without)) > len(data), "also against larger streams without a filter"
    best_db = max(psnr_y_db(SHARP, decoded(one), SHARP.info) for one in without)
    assert psnr_y_db(SHARP, decoded(data), SHARP.info) > best_db + 1.0


@pytest.fixture(scope="module", params=["yuv420p", "yuv420p10le"])
def fitted(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    """A stream with a filter of its own, and the frames that its encoder measured."""
    clip = odd(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classic, "to_coded", blurred_on_the_way)
        chunks = restore_chunks(clip, {**FITTED, "scale": "1/2", "crf": 30.0})
    [setup] = setups(chunks)
    assert setup.origin is Origin.CLIP
    [weights] = [Filter.from_bytes(chunk.data) for chunk in chunks if chunk.kind is Kind.WEIGHTS]
    pictures = [chunk for chunk in chunks if chunk.kind is not Kind.WEIGHTS]
    base = Base("1/2", 30.0, setup.coding, tuple(pictures), 0.0)
    seen = planar(map(restorer(weights, setup.coding, clip.info), base_contents(base, encode_info(clip))))
    return stream(header_of(clip.info, "restore"), chunks), seen


@pytest.mark.ci
def test_a_fresh_process_gives_what_the_encoder_measured_with_any_threads(fitted: tuple[bytes, bytes]) -> None:
    data, seen = fitted
    assert decoded_elsewhere(data) == seen
    assert decoded_elsewhere(data, "--threads", "2") == seen


@pytest.mark.ci
def test_so_does_one_with_older_instructions(fitted: tuple[bytes, bytes]) -> None:
    need_avx512()
    data, seen = fitted
    assert decoded_elsewhere(data, "--threads", "3", **AVX2) == seen


@pytest.mark.ci
def test_the_same_clip_parameters_and_seed_give_the_same_bytes(planted: None) -> None:
    quick = {**FITTED, "scale": "auto", "steps": 100}
    assert restore_stream(SHARP, quick) == restore_stream(SHARP, quick, threads=2)


@pytest.mark.ci
def test_where_nothing_helps_nothing_is_taken_and_half_a_percent_is_the_most_it_costs() -> None:
    sharp = crop("flower_720p30", 4, 256, 192)
    chunks = restore_chunks(sharp, {**FITTED, "scale": "auto", "crf": 20.0, "steps": 100})
    assert kinds(chunks) == [Kind.CONFIG]
    alone = as_people_run("svtav1", svtav1_crf=20.0, svtav1_preset=PRESET, scale="full", gop_frames=64, bit_depth=8)
    ours, theirs = stream(header_of(sharp.info, "restore"), chunks), encoded(sharp, alone)
    assert len(ours) <= 1.005 * len(theirs)
    assert planar(decoded(ours)) == planar(decoded(theirs))


@pytest.mark.ci
def test_a_later_shot_uses_the_filter_of_an_earlier_one_where_that_is_as_good(planted: None, tmp_path: Path) -> None:
    again = Clip(SHARP.info, [SHARP[number] for number in reversed(range(len(SHARP)))])
    info = msgspec.structs.replace(encode_info(SHARP, FITTED), scratch=tmp_path)
    first = best(SHARP, info, None, None)
    second = best(again, msgspec.structs.replace(info, params={**FITTED, "steps": 100}), None, first.filter)
    assert (first.origin, second.origin) == (Origin.CLIP, Origin.LAST)
    film = header_of(msgspec.structs.replace(SHARP.info, frames=2 * len(SHARP)), "restore")
    data = stream(film, [*first.chunks(0), *second.chunks(len(SHARP))])
    frames = decoded(data)
    assert planar(frames[: len(SHARP)]) == planar(decoded(stream(header_of(SHARP.info, "restore"), first.chunks(0))))
    assert psnr_y_db(again, frames[len(SHARP):], SHARP.info) > second.base.psnr_y_db + 1


def test_a_shot_that_names_a_filter_nobody_sent_is_refused() -> None:
    [setup, *pictures] = restore_chunks(CLIP, PLAIN)
    last = Chunk(Kind.CONFIG, 0, Setup(Origin.LAST, Setup.from_bytes(setup.data).coding).to_bytes())
    frames, error = until_error(restore_decoder.decode([last, *pictures], DecodeInfo(video=CLIP.info), None))
    assert frames == []
    assert "earlier shot" in str(error)


def code_random_point(seed: int) -> None:
    """Any size, length, rate of frames, depth and point of the space: as many frames come back, and each in shape."""
    rng = random.Random(seed)
    params = {**sample(SPACE, rng)}
    if params.get("mode") == "generic":
        del params["mode"]
        params["channels"] = 0
    if "steps" in params:
        params["steps"] = 100
    width, height = rng.choice([(1, 1), (2, 1), (rng.randint(1, 40), rng.randint(1, 40)), (rng.randint(60, 200), 67)])
    fps_num, fps_den = rng.choice([(24000, 1001), (25, 1), (30, 1), (60000, 1001), (1, 1)])
    frames = rng.choice([1, 2, 3, 7, 30])
    layout = VideoInfo(width=width, height=height, fps_num=fps_num, fps_den=fps_den, frames=frames,
                       pix_fmt=rng.choice(["yuv420p", "yuv420p10le", "yuv422p", "gray"]))  # fmt: skip
    clip = Clip(layout, noise(layout, seed))
    got = decoded(restore_stream(clip, params))
    assert len(got) == frames, (layout, params)
    assert all(tuple(plane.shape for plane in frame.planes) == layout.plane_shapes for frame in got), (layout, params)


@pytest.mark.ci
def test_an_odd_1080p_comes_back_restored_where_it_lay(planted: None) -> None:
    clip = crop("drive_1080p30", 2, 1919, 1079)
    chunks = restore_chunks(clip, {**FITTED, "scale": "2/3", "steps": 100}, threads=2)
    assert kinds(chunks) == [Kind.CONFIG, Kind.WEIGHTS]
    frames = decoded(stream(header_of(clip.info, "restore"), chunks))
    assert [tuple(plane.shape for plane in frame.planes) for frame in frames] == [clip.info.plane_shapes] * 2
    assert psnr_y_db(clip, frames, clip.info) > 29.5  # the base alone, or one sample off, has a decibel less


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(12))
def test_any_size_and_length_and_point_of_the_space_comes_back(seed: int) -> None:
    code_random_point(seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 250))
def test_so_do_a_hundred_and_fifty_more(seed: int) -> None:
    code_random_point(seed)
