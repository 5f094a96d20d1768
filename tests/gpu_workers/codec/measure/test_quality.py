from __future__ import annotations

import math
import re
from pathlib import Path
from statistics import fmean

import msgspec
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from gpu_workers.codec.frames import BadFrames, Frame, VideoInfo
from gpu_workers.codec.measure import perceptual
from gpu_workers.codec.measure.perceptual import PerceptualError
from gpu_workers.codec.measure.psnr import mse, psnr_db
from gpu_workers.codec.measure.quality import Quality, QualityResult, compare
from gpu_workers.codec.video import FrameReader
from lab.errors import UserError
from support.footage import cut, ffmpeg, metric_summary, noise, synthetic
from support.ssim_twin import ms_ssim, ssim

BLUR = "gblur=sigma=1.5"
PSNRS = {"psnr_y_db", "psnr_u_db", "psnr_v_db", "psnr_yuv611_db"}


def pair(clip: str, frames: int, folder: Path, *filters: str) -> tuple[Path, Path]:
    return cut(clip, frames, folder, *filters), cut(clip, frames, folder, *filters, BLUR)


def twin_per_frame(reference: Path, distorted: Path) -> list[float]:
    readers = FrameReader(reference), FrameReader(distorted)
    depth = readers[0].info.bit_depth
    return [ssim(a.planes[0], b.planes[0], depth) for a, b in zip(*readers, strict=True)]


class Originals(list[Frame]):
    """Frames made up in the test, as an original."""

    def __init__(self, info: VideoInfo, seed: int = 0) -> None:
        super().__init__(noise(info, seed))
        self.format = info


def measured(info: VideoInfo, distorted: list[Frame], *, vmaf: bool = True) -> QualityResult:
    with Quality(Originals(info), info, vmaf=vmaf) as quality:
        for frame in distorted:
            quality.add(frame)
        return quality.result()


def layout(pix_fmt: str = "yuv420p", width: int = 64, height: int = 48, frames: int = 2) -> VideoInfo:
    return VideoInfo(width=width, height=height, fps_num=25, fps_den=1, frames=frames, pix_fmt=pix_fmt)


@pytest.mark.parametrize("filters", [(), ("format=yuv420p10le",), ("crop=301:227:0:0:exact=1", "format=yuv444p")])
def test_psnr_is_that_of_ffmpeg_and_of_scikit_image(filters: tuple[str, ...], tmp_path: Path) -> None:
    reference, distorted = pair("night_540p50", 6, tmp_path, *filters)
    result = compare(reference, distorted, vmaf=False)
    peak = (1 << FrameReader(reference).info.bit_depth) - 1
    theirs = [
        [peak_signal_noise_ratio(x, y, data_range=peak) for x, y in zip(a.planes, b.planes, strict=True)]
        for a, b in zip(FrameReader(reference), FrameReader(distorted), strict=True)
    ]
    for plane, name in enumerate(("psnr_y_db", "psnr_u_db", "psnr_v_db")):
        assert result.per_frame[name] == pytest.approx([frame[plane] for frame in theirs], abs=1e-6)
        assert result.mean[name] == pytest.approx(fmean(frame[plane] for frame in theirs), abs=1e-6)
    assert result.mean["psnr_yuv611_db"] == pytest.approx(fmean((6 * y + u + v) / 8 for y, u, v in theirs), abs=1e-6)
    summary = metric_summary(distorted, reference, "psnr")
    assert result.mean["psnr_y_mse_db"] == pytest.approx(summary["y"], abs=0.01)
    assert result.mean["psnr_y_mse_db"] <= result.mean["psnr_y_db"]


# 50 and 30000/1001 frames a second are where numbering frames by N/FPS pairs neighbours.
@pytest.mark.parametrize(("clip", "frames"), [("night_540p50", 50), ("walk_480p30", 62)])
def test_every_frame_is_paired_with_its_own_original(clip: str, frames: int, tmp_path: Path) -> None:
    reference, distorted = pair(clip, frames, tmp_path, "scale=320:180")
    result = compare(reference, distorted, threads=2, extras=False)
    assert result.per_frame["ssim"] == pytest.approx(twin_per_frame(reference, distorted), abs=2e-6)
    # A neighbour would be far worse than a blur.
    readers = FrameReader(reference), FrameReader(distorted)
    neighbours = [ssim(readers[0][n].planes[0], readers[1][n + 1].planes[0], 8) for n in range(frames - 1)]
    assert min(result.per_frame["ssim"]) > fmean(neighbours)
    assert len(result.per_frame["vmaf"]) == frames


@pytest.mark.parametrize("filters", [("format=yuv420p10le",), ("crop=301:227:0:0:exact=1",), ("format=gray",)])
def test_ssim_and_ms_ssim_agree_with_their_numpy_twins(filters: tuple[str, ...], tmp_path: Path) -> None:
    reference, distorted = pair("rooftop_720p30", 2, tmp_path, *filters)
    result = compare(reference, distorted)
    assert result.per_frame["ssim"] == pytest.approx(twin_per_frame(reference, distorted), abs=2e-6)
    assert result.mean["ssim"] == pytest.approx(metric_summary(distorted, reference, "ssim")["y"], abs=2e-6)
    a, b = FrameReader(reference), FrameReader(distorted)
    twins = [ms_ssim(a[n].planes[0], b[n].planes[0], a.info.bit_depth) for n in range(2)]
    assert result.per_frame["ms_ssim"] == pytest.approx(twins, abs=2e-4)


def test_vmaf_is_that_of_ffmpegs_own_filter_on_the_two_files(tmp_path: Path) -> None:
    reference, distorted = pair("walk_480p30", 4, tmp_path)
    result = compare(reference, distorted, threads=2)
    assert result.models == {"vmaf": "vmaf_v0.6.1", "vmaf_neg": "vmaf_v0.6.1neg"}
    for name, model in result.models.items():
        log = tmp_path / f"{name}.json"
        ffmpeg("-i", distorted, "-i", reference, "-filter_complex",
               f"[0:v]setpts=N[a];[1:v]setpts=N[b];[a][b]libvmaf=log_fmt=json:log_path={log}:model=version={model}",
               "-f", "null", "-")  # fmt: skip
        theirs = [frame["metrics"]["vmaf"] for frame in msgspec.json.decode(log.read_bytes())["frames"]]
        assert result.per_frame[name] == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_identical_frames_have_finite_numbers(pix_fmt: str) -> None:
    info = layout(pix_fmt, 200, 180)
    result = measured(info, noise(info, 0))
    assert {result.mean[name] for name in PSNRS | {"psnr_y_mse_db"}} == {100.0}
    assert result.mean["ssim"] == result.mean["ms_ssim"] == 1.0
    assert all(math.isfinite(value) for values in result.per_frame.values() for value in values)


def test_one_wrong_sample_in_a_large_picture_stays_under_the_cap() -> None:
    info = layout("gray", 1920, 1080, 1)
    (frame,) = noise(info, 0)
    (wrong,) = noise(info, 0)
    wrong.planes[0][0, 0] ^= 1
    assert not np.array_equal(frame.planes[0], wrong.planes[0])
    assert measured(info, [wrong], vmaf=False).mean["psnr_y_db"] == 100.0


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_the_largest_errors_of_a_very_wide_picture_do_not_overflow(pix_fmt: str) -> None:
    info = layout(pix_fmt, 16384, 2, 1)
    black, white = (np.full((2, 16384), level, info.dtype) for level in (0, (1 << info.bit_depth) - 1))
    assert psnr_db(mse(black, white), info.bit_depth) == 0
    assert mse(white, black) == mse(black, white)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_unequal_number_of_frames_is_an_error(count: int) -> None:
    info = layout()
    with pytest.raises(BadFrames, match="must pair up"):
        measured(info, noise(msgspec.structs.replace(info, frames=count), 1))


def test_files_of_unequal_length_size_chroma_or_range_cannot_be_compared(tmp_path: Path) -> None:
    base = synthetic(tmp_path / "base.mkv", "yuv420p")
    others = [
        synthetic(tmp_path / "longer.mkv", "yuv420p", frames=6),
        synthetic(tmp_path / "shorter.mkv", "yuv420p", frames=4),
        synthetic(tmp_path / "larger.mkv", "yuv420p", "98x64"),
        synthetic(tmp_path / "chroma.mkv", "yuv444p"),
        synthetic(tmp_path / "full.mkv", "yuv420p", "96x64", 5, "-color_range", "pc"),
    ]
    for other in others:
        with pytest.raises(UserError, match=rf"{other.name} cannot be compared with .*base.mkv: "):
            compare(base, other)


def test_a_frame_of_another_layout_is_refused_in_the_middle() -> None:
    info = layout()
    with Quality(Originals(info), info) as quality:
        quality.add(noise(info, 1)[0])
        with pytest.raises(BadFrames, match="in a video of 64×48 yuv420p"):
            quality.add(noise(layout(width=66), 1)[0])


def test_samples_of_more_bits_than_the_format_has_are_refused_and_are_no_small_error() -> None:
    """A square that overflowed would be a negative error, and a few of them would make any picture a perfect one."""
    info = layout("yuv420p10le")
    frame = noise(info, 1)[0]
    assert mse(np.zeros((1, 1), np.uint16), np.full((1, 1), 65535, np.uint16)) == 65535 ** 2
    frame.planes[2][3, 5] = 1024
    with Quality(Originals(info), info, vmaf=False) as quality, pytest.raises(BadFrames, match="above 1023"):
        quality.add(frame)


@pytest.mark.parametrize(
    ("size", "absent"),
    [((7, 64), {"ssim", "vmaf", "vmaf_neg", "ms_ssim"}), ((8, 8), {"vmaf", "vmaf_neg", "ms_ssim"}),
     ((31, 200), {"vmaf", "vmaf_neg", "ms_ssim"}), ((33, 47), {"ms_ssim"}), ((175, 177), {"ms_ssim"}),
     ((177, 177), set())],
)  # fmt: skip
def test_pictures_too_small_for_a_metric_have_none_and_the_reason(size: tuple[int, int], absent: set[str]) -> None:
    info = layout("yuv420p", *size, frames=1)
    result = measured(info, noise(info, 1))
    assert {name for name, value in result.mean.items() if value is None} - {"lpips"} == absent
    for name in absent:
        assert re.search(rf"{size[0]}×{size[1]}", result.why[name])
    assert result.mean["psnr_y_db"] is not None


def test_a_grey_video_has_no_chroma_metrics() -> None:
    info = layout("gray10le")
    result = measured(info, noise(info, 1), vmaf=False)
    assert result.mean["psnr_u_db"] is result.mean["psnr_yuv611_db"] is None
    assert "no chroma" in result.why["psnr_u_db"]


def test_what_was_not_asked_for_is_none_with_that_reason() -> None:
    info = layout(width=200, height=200)
    result = measured(info, noise(info, 1), vmaf=False)
    assert result.mean["vmaf"] is None
    assert result.why["vmaf"] == "not asked for"
    assert result.mean["ssim"] is not None


def test_a_copy_in_ten_bit_is_compared_at_the_originals_depth_and_that_is_said(tmp_path: Path) -> None:
    eight = synthetic(tmp_path / "eight.mkv", "yuv420p")
    ten = tmp_path / "ten.mkv"
    ffmpeg("-i", eight, "-vf", "format=yuv420p10le", "-c:v", "ffv1", ten)
    result = compare(eight, ten, vmaf=False)
    assert result.mean["psnr_y_db"] == 100.0
    assert result.note == "the distorted frames were brought from 10 to 8 bit"
    assert compare(ten, eight, vmaf=False).mean["psnr_y_db"] == 100.0


def test_a_portrait_recording_is_compared_upright(tmp_path: Path) -> None:
    upright = synthetic(tmp_path / "upright.mp4", "yuv420p", "64x96", 3, "-c:v", "libx264", "-qp", "0")
    lying, turned = tmp_path / "lying.mp4", tmp_path / "turned.mp4"
    ffmpeg("-i", upright, "-vf", "transpose=clock", "-c:v", "libx264", "-qp", "0", lying)
    ffmpeg("-display_rotation", "90", "-i", lying, "-c", "copy", turned)
    assert compare(upright, turned, vmaf=False).mean["psnr_y_db"] == 100.0


def test_a_variable_rate_pairs_by_index(tmp_path: Path) -> None:
    steady = cut("walk_480p30", 12, tmp_path, "scale=160:90")
    uneven = tmp_path / "uneven.mkv"
    ffmpeg("-i", steady, "-vf", "setpts='(N+lt(5,N)*3+mod(N,2)*0.4)/25/TB'", "-fps_mode", "vfr", "-c:v", "ffv1", uneven)
    assert compare(steady, uneven, extras=False).mean["psnr_y_db"] == 100.0


def test_worst_frames_come_worst_first() -> None:
    info = layout(frames=4)
    distorted = noise(info, 0)
    for number, step in ((2, 90), (1, 9)):
        distorted[number].planes[0][:] ^= step
    assert measured(info, distorted, vmaf=False).worst_frames(2) == [2, 1]


def test_a_dead_measuring_process_is_an_error_and_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(perceptual.MODELS, "vmaf", "vmaf_v9.9.9")
    info = layout(width=320, height=240, frames=40)
    with pytest.raises(PerceptualError, match=r"while measuring SSIM and VMAF: .+"):
        measured(info, noise(info, 1))


def test_leaving_early_leaves_no_process_and_no_file() -> None:
    info = layout()
    with Quality(Originals(info), info) as quality:
        quality.add(noise(info, 1)[0])
        assert quality._perceptual is not None
        child, folder = quality._perceptual._child, Path(quality._perceptual._folder.name)
        assert folder.exists()
    assert child.returncode is not None
    assert not folder.exists()
