from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from gpu_workers.codec.frames import VideoInfo
from gpu_workers.codec.measure import lpips
from gpu_workers.codec.measure.quality import compare
from gpu_workers.codec.video import FrameReader
from support.footage import VIDEO, cut, planar
from support.servers import unavailable


def test_where_it_cannot_be_had_it_is_none_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no weights"))
    clip = cut("talk_540x720p30", 1, tmp_path, "scale=90:120")
    result = compare(clip, clip)
    assert result.mean["lpips"] is None
    assert "lpips" not in result.per_frame
    installed = importlib.util.find_spec("lpips") and importlib.util.find_spec("torch")
    fix = "alexnet-owt-7be5be79.pth" if installed else "make setup TORCH=cpu"
    assert result.why["lpips"].startswith("not available: ")
    assert fix in result.why["lpips"]


def test_it_does_not_exist_for_tiny_pictures() -> None:
    info = VideoInfo(width=63, height=200, fps_num=25, fps_den=1, frames=1, pix_fmt="yuv420p")
    assert lpips.open_lpips(info) == "lpips needs pictures of 64×64 and more"


@pytest.mark.parametrize("filters", ["format=yuv444p", "format=yuv444p10le", "scale=out_range=pc,format=yuv444p"])
def test_colours_are_those_that_ffmpeg_shows(filters: str, tmp_path: Path) -> None:
    clip = cut("rooftop_720p30", 1, tmp_path, "scale=320:180", filters)
    reader = FrameReader(clip)
    theirs = np.frombuffer(planar(clip, "-pix_fmt", "rgb24"), np.uint8).reshape(180, 320, 3)
    assert reader.info.matrix == "bt709"
    assert np.abs(lpips.to_rgb(reader[0], reader.info) * 255 - theirs).max() < 2.5


def test_subsampled_chroma_is_repeated_to_full_size() -> None:
    info = VideoInfo(width=5, height=3, fps_num=25, fps_den=1, frames=1, pix_fmt="yuv420p")
    reader = FrameReader(VIDEO / "talk_540x720p30.mp4")
    assert lpips.to_rgb(reader[0], reader.info).shape == (720, 540, 3)
    small = type(reader[0])(tuple(np.full(shape, 128, np.uint8) for shape in info.plane_shapes))
    grey = lpips.to_rgb(small, info)
    assert grey.shape == (3, 5, 3)
    assert np.ptp(grey) < 1e-6


@pytest.mark.ci
def test_with_its_weights_there_it_is_zero_for_a_copy_and_grows_with_blur(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random backbone weights, since the real ones are a download: the distance keeps its order, not its scale."""
    for name in ("torch", "torchvision", "lpips"):
        if importlib.util.find_spec(name) is None:
            unavailable(f"{name} is not installed", "run make test-ci once, which sets it up")
    torch, torchvision = importlib.import_module("torch"), importlib.import_module("torchvision")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    lpips.backbone_path().parent.mkdir(parents=True)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), lpips.backbone_path())
    clip = cut("rooftop_720p30", 2, tmp_path, "scale=160:90")
    values = [
        compare(clip, cut("rooftop_720p30", 2, tmp_path, "scale=160:90", change)).mean["lpips"]
        for change in ("null", "gblur=sigma=1", "gblur=sigma=4")
    ]
    assert values[0] == 0
    assert values[0] < values[1] < values[2]
