"""The family `hyperprior` from training to frames: any picture, and trainings that go on where they were."""

from __future__ import annotations

import hashlib
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("compressai", reason="needs the learned extra: requirements/sync learned")

from gpu_workers.codec.contract import DecodeInfo, EncodeInfo, Frame, TrainInfo, TrainingLimit, VideoInfo
from gpu_workers.codec.decoder import hyperprior as decoder
from gpu_workers.codec.families import hyperprior
from gpu_workers.codec.families.hyperprior_data import Pool
from gpu_workers.codec.families.hyperprior_space import SPACE
from gpu_workers.codec.families.hyperprior_train import Training
from lab.errors import Diverged, UserError
from lab.space import Value, problems
from support.streams import Clip, crop

pytestmark = pytest.mark.ci
torch: Any = import_module("torch")
PARAMS: dict[str, Value] = {"transform": "dct16", "channels": 128, "frames": 1, "synthesis": "float", "price": 0.01,
                            "step": 1.0, "chroma": 1.0, "rate": 0.001, "crop": 128}
VIDEO = VideoInfo(width=100, height=60, fps_num=25, fps_den=1, frames=1, pix_fmt="yuv420p")


def info(folder: Path, steps: int, **more: Any) -> TrainInfo:
    params = more.pop("params", PARAMS)
    return TrainInfo(params=params, scratch=folder, limit=TrainingLimit(steps=steps), seed=3, **more)


def footage() -> list[Clip]:
    return [crop("flower_720p30", 2, 320, 240), crop("walk_480p30", 2, 320, 240)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hyperprior.train(footage(), info(tmp_path_factory.mktemp("model"), 20))


def noise(video: VideoInfo, frames: int, seed: int = 0) -> Clip:
    """Smooth pictures with some noise, of any layout."""
    rng, most = np.random.default_rng(seed), (1 << video.bit_depth) - 1
    made = []
    for index in range(frames):
        planes = [(most * (0.5 + 0.4 * np.sin(np.add.outer(np.arange(r) / 9, np.arange(c) / 7 + index))
                           + 0.05 * rng.standard_normal((r, c)))).clip(0, most).astype(video.dtype)
                  for r, c in video.plane_shapes]
        made.append(Frame(tuple(planes)))
    return Clip(video, made)


def coded(clip: Clip, model: Path, params: dict[str, Value] = PARAMS, threads: int = 1) -> list[Any]:
    asked = EncodeInfo(video=clip.info, params=params, scratch=model.parent, threads=threads)
    return list(hyperprior.encode(clip, asked, model))


def decoded(chunks: list[Any], clip: Clip, model: Path, threads: int = 1) -> list[Frame]:
    return list(decoder.decode(iter(chunks), DecodeInfo(video=clip.info, threads=threads), model))


def psnr_db(a: Clip, b: list[Frame]) -> float:
    most = (1 << a.info.bit_depth) - 1
    errors = [np.square(x.planes[0].astype(float) - y.planes[0]).mean() for x, y in zip(a, b, strict=True)]
    return float(10 * np.log10(most**2 / np.mean(errors)))


def test_a_point_of_the_space_is_what_the_agents_take() -> None:
    assert problems(SPACE, PARAMS) == []


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv444p10le"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 5), (101, 67)])
def test_a_picture_of_any_size_and_format_comes_back_in_its_layout(
        model: Path, size: tuple[int, int], pix_fmt: Any) -> None:
    clip = noise(msgspec.structs.replace(VIDEO, width=size[0], height=size[1], pix_fmt=pix_fmt), 2)
    out = decoded(coded(clip, model), clip, model)
    assert [tuple(p.shape for p in frame.planes) for frame in out] == [clip.info.plane_shapes] * 2
    assert all(plane.dtype == clip.info.dtype for frame in out for plane in frame.planes)
    assert psnr_db(clip, out) > 20


def test_larger_steps_take_fewer_bytes_and_lose_more(model: Path) -> None:
    clip = footage()[0]
    sizes, qualities = [], []
    for step in (0.5, 1.0, 2.0):
        chunks = coded(clip, model, {**PARAMS, "step": step})
        sizes.append(sum(len(chunk.data) for chunk in chunks))
        qualities.append(psnr_db(clip, decoded(chunks, clip, model)))
    assert sizes == sorted(sizes, reverse=True)
    assert qualities == sorted(qualities, reverse=True)


def test_an_interrupted_training_ends_with_the_very_weights(tmp_path: Path) -> None:
    kept = tmp_path / "kept.safetensors"

    def keep(path: Path) -> None:
        if not kept.exists():
            shutil.copyfile(path, kept)

    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
    whole = hyperprior.train(footage(), info(tmp_path / "whole", 8, checkpoint=keep, checkpoint_s=0.0))
    resumed = hyperprior.train(footage(), info(tmp_path / "resumed", 8, resume=kept))
    assert digest(whole) == digest(resumed)


def test_a_training_that_explodes_says_so(tmp_path: Path) -> None:
    clip = footage()[0]
    exploding = info(tmp_path, 50)
    training = Training(hyperprior.shape_of(PARAMS), exploding, Pool([clip], 1, 128), 1)
    training.one(0.0)
    with torch.no_grad():
        training.network.transform.back.mul_(1e4)
    with pytest.raises(Diverged, match="the loss became"):
        training.one(0.1)
    with torch.no_grad():
        training.network.transform.back.fill_(float("nan"))
    with pytest.raises(Diverged, match="the loss became nan"):
        training.one(0.2)


def test_a_model_trained_as_something_else_is_refused(model: Path) -> None:
    with pytest.raises(UserError, match="the parameters say"):
        coded(footage()[0], model, {**PARAMS, "channels": 192})
    with pytest.raises(UserError, match="is outside"):
        coded(footage()[0], model, {**PARAMS, "channels": 7})


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
