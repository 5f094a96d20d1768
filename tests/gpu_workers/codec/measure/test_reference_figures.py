"""The figures of the set's manifest: SVT-AV1 and x265 encodes of two clips by the manifest's own commands."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import pytest
from skimage.metrics import peak_signal_noise_ratio

from gpu_workers.codec.measure.quality import compare
from gpu_workers.codec.video import FrameReader
from support.footage import VIDEO, ffmpeg, metric_summary

X265 = "pools=1:frame-threads=1:log-level=error"
CLIPS = {"drive": VIDEO / "drive_1080p30.mp4", "flower": VIDEO / "flower_720p30.mp4"}


class Row(NamedTuple):
    clip: str
    encoder: str  # svtav1:CRF, x265:CRF, or x265-2p:RATE
    psnr_y_db: float
    psnr_y_mse_db: float
    ssim: float
    vmaf: float

    def __str__(self) -> str:
        return f"{self.clip}-{self.encoder}"


QUICK = [
    Row("flower", "svtav1:35", 41.522, 41.501, 0.97987, 94.66),
    Row("flower", "svtav1:45", 39.869, 39.848, 0.97225, 91.88),
]
SLOW = [
    Row("flower", "x265-2p:10M", 50.005, 49.845, 0.99549, 99.39),
    Row("flower", "x265-2p:1M", 40.410, 40.357, 0.97504, 92.02),
    Row("drive", "x265-2p:10M", 38.934, 38.789, 0.97957, 99.75),
    Row("drive", "x265-2p:1M", 28.191, 28.071, 0.86812, 59.73),
    Row("drive", "svtav1:59", 31.499, 31.286, 0.92260, 80.75),
    Row("drive", "svtav1:61", 30.472, 30.262, 0.90796, 74.91),
    Row("drive", "svtav1:63", 28.185, 27.948, 0.86850, 60.36),
    Row("drive", "x265:28", 36.267, 36.138, 0.96777, 97.73),
    Row("drive", "svtav1:50", 34.481, 34.343, 0.95418, 94.41),
]


@pytest.mark.parametrize("row", [*QUICK, *(pytest.param(row, marks=pytest.mark.soak) for row in SLOW)], ids=str)
def test_the_manifests_figures_are_met(row: Row, tmp_path: Path) -> None:
    stream = encode(row, tmp_path)
    result = compare(CLIPS[row.clip], stream, threads=2, extras=False)
    print(row, {name: result.mean[name] for name in ("psnr_y_db", "psnr_y_mse_db", "ssim", "vmaf")})
    assert result.mean["psnr_y_db"] == pytest.approx(row.psnr_y_db, abs=0.05)
    assert result.mean["psnr_y_mse_db"] == pytest.approx(row.psnr_y_mse_db, abs=0.05)
    assert result.mean["ssim"] == pytest.approx(row.ssim, abs=0.001)
    assert result.mean["vmaf"] == pytest.approx(row.vmaf, abs=0.2)
    assert result.mean["psnr_y_mse_db"] == pytest.approx(metric_summary(stream, CLIPS[row.clip], "psnr")["y"], abs=0.01)
    assert result.mean["psnr_y_db"] == pytest.approx(scikit_psnr_y(CLIPS[row.clip], stream), abs=0.01)


def scikit_psnr_y(reference: Path, distorted: Path) -> float:
    pairs = zip(FrameReader(reference), FrameReader(distorted), strict=True)
    return fmean(peak_signal_noise_ratio(a.planes[0], b.planes[0], data_range=255) for a, b in pairs)


def encode(row: Row, folder: Path) -> Path:
    encoder, _, rate = row.encoder.partition(":")
    source = ["-threads", "1", "-i", str(CLIPS[row.clip]), "-an"]
    if encoder == "svtav1":
        stream = folder / "stream.ivf"
        ffmpeg(
            *source, "-c:v", "libsvtav1", "-preset", "6", "-crf", rate, "-svtav1-params", "lp=1", "-f", "ivf", stream
        )
        return stream
    stream = folder / "stream.hevc"
    x265 = [*source, "-c:v", "libx265", "-preset", "medium"]
    if encoder == "x265":
        ffmpeg(*x265, "-crf", rate, "-x265-params", X265, "-f", "hevc", stream)
        return stream
    for number, (container, target) in enumerate((("null", os.devnull), ("hevc", stream)), 1):
        passes = f"{X265}:pass={number}:stats={folder / 'passes.log'}"
        ffmpeg(*x265, "-b:v", rate, "-x265-params", passes, "-f", container, target)
    return stream
