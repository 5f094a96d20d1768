import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_workers.codec.decoder.errors import BadStream, CutStream
from gpu_workers.codec.frames import VideoInfo
from gpu_workers.codec.searching import RATE_TOLERANCE
from gpu_workers.codec.transcode import decode_file, encode_file, inspect
from gpu_workers.codec.video import FrameReader
from lab.errors import UserError
from lab.space import Value
from support.footage import VIDEO, cut, ffmpeg, planar, synthetic
from support.streams import decoded
from support.streams import planar as joined

FAST: dict[str, Value] = {"svtav1_preset": 10}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut("walk_480p30", 24, tmp_path_factory.mktemp("source"), "scale=320:180")


@pytest.fixture(scope="module")
def stream(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("stream") / "walk.aec"
    encode_file(source, target, crf=35, params=FAST)
    return target


@pytest.mark.parametrize(("mbps", "params"), [(0.3, FAST), (1.5, FAST),
                                              (0.4, {"encoder": "x265", "x265_preset": "superfast"})])  # fmt: skip
def test_the_whole_file_meets_the_asked_rate_within_3_percent(
    source: Path, tmp_path: Path, mbps: float, params: dict[str, Value]
) -> None:
    report = encode_file(source, tmp_path / "out.aec", mbps=mbps, params=params)
    size = (tmp_path / "out.aec").stat().st_size
    assert report.bytes == size
    assert report.mbps == pytest.approx(size * 8e-6 / FrameReader(source).info.duration_s)
    assert abs(report.mbps / mbps - 1) <= RATE_TOLERANCE


def test_a_psnr_is_reached_and_hardly_passed(source: Path, tmp_path: Path) -> None:
    report = encode_file(source, tmp_path / "out.aec", psnr_db=32.0, params=FAST)
    assert report.psnr_y_db is not None
    assert 32.0 <= report.psnr_y_db <= 32.3


def test_a_psnr_that_the_encoder_cannot_reach_is_an_error_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ask for less"):
        encode_file(source, tmp_path / "out.aec", psnr_db=90.0, params=FAST)
    assert list(tmp_path.iterdir()) == []


def test_by_default_it_is_svtav1_at_preset_6(source: Path, tmp_path: Path) -> None:
    report = encode_file(source, tmp_path / "out.aec", crf=45)
    assert {"encoder": "svtav1", "svtav1_preset": 6, "svtav1_crf": 45.0}.items() <= report.params.items()
    assert report.encodings == 1


@pytest.mark.parametrize("suffix", [".mkv", ".y4m", ".yuv"])
def test_a_decoded_file_holds_the_decoders_frames_to_the_bit(stream: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"walk{suffix}"
    assert decode_file(stream, target).frames == 24
    options = ("-f", "rawvideo", "-s", "320x180", "-pix_fmt", "yuv420p") if suffix == ".yuv" else ()
    got = target.read_bytes() if options else planar(target)
    assert got == joined(decoded(stream.read_bytes()))


def test_an_mp4_for_watching_has_every_frame(stream: Path, tmp_path: Path) -> None:
    decode_file(stream, tmp_path / "walk.mp4")
    assert FrameReader(tmp_path / "walk.mp4").info.frames == 24


@pytest.mark.parametrize(("pix_fmt", "size"), [("yuv420p", (48, 34)), ("yuv422p", (48, 33)), ("yuv444p", (47, 33)),
                                               ("gray", (47, 33))])
def test_a_file_for_watching_is_padded_where_its_chroma_asks_for_it_and_nowhere_else(
    tmp_path: Path, pix_fmt: str, size: tuple[int, int]
) -> None:
    encode_file(synthetic(tmp_path / "odd.mkv", pix_fmt, "47x33", 3), tmp_path / "odd.aec", crf=40, params=FAST)
    watched = decode_file(tmp_path / "odd.aec", tmp_path / "odd.mp4")
    kept = decode_file(tmp_path / "odd.aec", tmp_path / "back.mkv")
    for found, file in ((watched, "odd.mp4"), (kept, "back.mkv")):
        info = FrameReader(tmp_path / file).info
        assert (found.width, found.height, found.frames) == (info.width, info.height, 3)
    assert ((watched.width, watched.height), watched.padded, watched.exact) == (size, size != (47, 33), False)
    assert ((kept.width, kept.height), kept.padded, kept.exact) == ((47, 33), False, True)


@pytest.mark.parametrize("name", ["out.txt", "out", "out.avi"])
def test_another_kind_of_file_is_refused_with_those_there_are(stream: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"there is \.mkv, \.y4m, \.yuv, \.mp4, \.mov"):
        decode_file(stream, tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p"])
@pytest.mark.parametrize("color_range", ["pc", "tv"])
def test_depth_and_range_are_kept_and_no_sample_is_converted_on_the_way(
    tmp_path: Path, pix_fmt: str, color_range: str
) -> None:
    clip = synthetic(tmp_path / "deep.mkv", pix_fmt, "98x66", 3, "-color_range", color_range)
    encode_file(clip, tmp_path / "deep.aec", crf=12, params={"encoder": "x265", "bit_depth": 10})
    card = inspect(tmp_path / "deep.aec")
    assert (card.header.pix_fmt, card.header.full_range) == (pix_fmt, color_range == "pc")
    for name in ("back.mkv", "back.y4m"):
        decode_file(tmp_path / "deep.aec", tmp_path / name)
        back = FrameReader(tmp_path / name)
        assert back.info == FrameReader(clip).info
        assert joined(back) == joined(decoded((tmp_path / "deep.aec").read_bytes()))
    mean = [frame.planes[0].mean() for reader in (clip, tmp_path / "back.mkv") for frame in FrameReader(reader)]
    assert mean[:3] == pytest.approx(mean[3:], rel=0.01)  # another range would move it by much more


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(width=st.integers(1, 140), height=st.integers(1, 140), frames=st.integers(1, 4),
       encoder=st.sampled_from(["x265", "svtav1", "vvenc"]))  # fmt: skip
def test_any_size_and_any_length_goes_in_and_comes_back(
    tmp_path: Path, width: int, height: int, frames: int, encoder: str
) -> None:
    clip = tmp_path / "any.y4m"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-frames:v", str(frames),
           "-vf", f"scale={width}:{height}", "-pix_fmt", "yuv420p", clip)  # fmt: skip
    encode_file(clip, tmp_path / "any.aec", crf=40, params={"encoder": encoder})
    assert decode_file(tmp_path / "any.aec", tmp_path / "back.mkv").frames == frames
    back = list(FrameReader(tmp_path / "back.mkv"))
    expected: VideoInfo = FrameReader(clip).info
    assert len(back) == frames
    assert all(tuple(plane.shape for plane in frame.planes) == expected.plane_shapes for frame in back)


def test_a_card_tells_what_a_stream_is_and_that_it_is_whole(stream: Path) -> None:
    card = inspect(stream)
    assert (card.header.width, card.header.height, card.frames, card.problem) == (320, 180, 24, None)
    assert card.chunks == {"config": 1, "key": 1, "delta": 23}
    assert card.bytes == stream.stat().st_size
    assert card.overhead_bytes < 8 * 24 + 80


def test_a_cut_stream_gives_the_frames_before_the_cut_and_its_card_says_so(stream: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.aec"
    short.write_bytes(stream.read_bytes()[: stream.stat().st_size * 3 // 4])
    with pytest.raises(CutStream, match="cut after"):
        decode_file(short, tmp_path / "short.mkv")
    assert 0 < FrameReader(tmp_path / "short.mkv").info.frames < 24
    assert "cut after" in (inspect(short).problem or "")


@pytest.mark.parametrize(("wish", "says"), [
    ({"mbps": 1.0, "crf": 30.0}, "give one of"), ({"mbps": -1.0}, "no positive number"), ({"crf": 99.0}, "outside"),
    ({"params": {"encoder": "x264"}}, "there are x265, svtav1, vvenc"),
    ({"params": {"x265_preset": "slow"}}, "no parameter of svtav1"),
    ({"family": "magic", "mbps": 1.0}, "there are classic, hyperprior, restore"),
    ({"family": "hyperprior", "crf": 30.0}, "hyperprior has no crf; ask for --mbps or --psnr, or give --param step="),
])  # fmt: skip
def test_a_wish_that_cannot_be_is_one_line_with_the_fix(
    source: Path, tmp_path: Path, wish: dict[str, object], says: str
) -> None:
    with pytest.raises(UserError, match=says) as caught:
        encode_file(source, tmp_path / "out.aec", **wish)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_there_and_folders_that_cannot_be_written_are_told(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        decode_file(tmp_path / "missing.aec", tmp_path / "out.mkv")
    with pytest.raises(UserError, match="cannot be written"):
        encode_file(source, tmp_path / "nowhere" / "out.aec", crf=40)
    with pytest.raises(BadStream, match=r"no \.aec"):
        decode_file(VIDEO / "walk_480p30.mp4", tmp_path / "out.mkv")


def test_progress_is_told_as_it_goes(source: Path, tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    encode_file(source, tmp_path / "out.aec", crf=40, params=FAST, progress=lambda *what: told.append(what))
    assert told[-1] == ("encoding (1)", 1.0)
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert os.listdir(tmp_path) == ["out.aec"]
