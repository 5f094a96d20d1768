"""The family `hyperprior` from training to frames: any picture, and trainings that go on where they were."""

from __future__ import annotations

import hashlib
import shutil
from importlib import import_module
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("compressai", reason="needs the learned extra: requirements/sync learned")

from gpu_workers.codec.decoder.hyperprior_latents import Synthesis
from gpu_workers.codec.decoder.hyperprior_model import Shape
from gpu_workers.codec.decoder.hyperprior_whole import exact
from gpu_workers.codec.families import hyperprior, hyperprior_train
from gpu_workers.codec.families.hyperprior_data import Pool
from gpu_workers.codec.families.hyperprior_freeze import frozen
from gpu_workers.codec.families.hyperprior_network import Network
from gpu_workers.codec.families.hyperprior_space import SPACE
from gpu_workers.codec.families.hyperprior_train import Training, learn
from gpu_workers.gauges import data_wait_pct
from lab.errors import Diverged, UserError
from lab.experiment import TrainingLimit
from lab.space import problems, sample
from support.hyperprior import (
    PARAMS,
    SMALL,
    VIDEO,
    coded,
    coded_small,
    decoded,
    footage,
    psnr_db,
    small_model,
    train_info,
    waves,
)

pytestmark = pytest.mark.ci
torch: Any = import_module("torch")
FORMATS = ("yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("small"), 100)


@pytest.fixture(scope="module")
def in_time(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("in_time"), 30, msgspec.structs.replace(SMALL, frames=4))


def test_a_codec_of_the_space_learns_and_codes(tmp_path: Path) -> None:
    assert problems(SPACE, PARAMS) == []
    model, clip = hyperprior.train(footage(), train_info(tmp_path, 10)), footage()[0]
    assert psnr_db(clip, decoded(coded(clip, model), clip, model)) > 25
    with pytest.raises(UserError, match="the parameters say"):
        coded(clip, model, {**PARAMS, "channels": 192})
    with pytest.raises(UserError, match="is outside"):
        coded(clip, model, {**PARAMS, "channels": 7})


def test_the_transform_of_compressai_learns_and_codes(tmp_path: Path) -> None:
    shape = Shape(transform="gdn", width=16, channels=24, post=0, hyper_latents=8, hyper=(16, 8, 16))
    model, clip = small_model(tmp_path, 12, shape), footage()[0]
    out = decoded(coded_small(clip, model), clip, model)
    assert psnr_db(clip, out) > psnr_db(clip, [type(f)(tuple(np.zeros_like(p) for p in f.planes)) for f in out])


@pytest.mark.parametrize("seed", range(60))
def test_a_video_of_any_size_format_and_length_comes_back_in_its_layout(small: Path, in_time: Path, seed: int) -> None:
    rng = Random(seed)
    width, height = (rng.choice((1, 2, 3, rng.randint(1, 40), rng.randint(1, 200))) for _ in range(2))
    video = msgspec.structs.replace(VIDEO, width=width, height=height, pix_fmt=FORMATS[seed % len(FORMATS)],
                                    full_range=rng.random() < 0.5, fps_num=rng.randint(1, 240000),
                                    fps_den=rng.randint(1, 1001))
    clip, model = waves(video, rng.randint(1, 6), seed), rng.choice((small, in_time))
    synthesis = rng.choice(list(Synthesis))
    out = decoded(coded_small(clip, model, synthesis), clip, model)
    assert [tuple(p.shape for p in frame.planes) for frame in out] == [clip.info.plane_shapes] * len(clip)
    assert all(plane.dtype == clip.info.dtype for frame in out for plane in frame.planes)
    assert psnr_db(clip, out) > 18, f"seed {seed}: {clip.info}"


@pytest.mark.parametrize("size", [(1919, 1079), (4099, 2161)])
def test_a_large_odd_picture_is_coded_in_bands_without_seams(small: Path, size: tuple[int, int]) -> None:
    video = msgspec.structs.replace(VIDEO, width=size[0], height=size[1])
    clip = waves(video, 1)
    out = decoded(coded_small(clip, small), clip, small)
    errors = np.abs(clip[0].planes[0].astype(int) - out[0].planes[0]).mean(axis=1)
    assert errors.max() < 3 * errors.mean()


@pytest.mark.parametrize("synthesis", list(Synthesis))
def test_larger_steps_take_fewer_bytes_and_lose_more(small: Path, synthesis: Synthesis) -> None:
    clip = footage()[0]
    streams = [coded_small(clip, small, synthesis, step) for step in (0.5, 1.0, 2.0)]
    sizes = [sum(len(chunk.data) for chunk in chunks) for chunks in streams]
    qualities = [psnr_db(clip, decoded(chunks, clip, small)) for chunks in streams]
    assert sizes == sorted(sizes, reverse=True)
    assert qualities == sorted(qualities, reverse=True)


def test_whole_numbers_lose_little_against_floating_point(small: Path) -> None:
    clip = footage()[1]
    floating, whole = (psnr_db(clip, decoded(coded_small(clip, small, one), clip, small)) for one in Synthesis)
    assert abs(whole - floating) < 0.3


def test_channels_that_nothing_wakes_do_not_keep_a_model_from_whole_numbers() -> None:
    network = Network(SMALL, 0.01, 1.0)
    planes = torch.from_numpy(Pool(footage(), 1, 128).crops(0, 0, 2))
    network.calibrate(planes)
    for layer in (network.transform.after.first, *network.transform.post[:2]):
        layer.bias.data[:3] = torch.tensor([-500.0, -1.0, 500.0])
        layer.weight.data[:2] *= 1e-4
    assert exact(frozen(network, planes))


@pytest.mark.parametrize("frames", [1, 4])
def test_an_interrupted_training_ends_with_the_very_weights(tmp_path: Path, frames: int) -> None:
    kept, shape = tmp_path / "kept.safetensors", msgspec.structs.replace(SMALL, frames=frames)

    def keep(path: Path) -> None:
        if not kept.exists():
            shutil.copyfile(path, kept)

    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
    whole = small_model(tmp_path / "whole", 8, shape, checkpoint=keep, checkpoint_s=0.0)
    resumed = small_model(tmp_path / "resumed", 8, shape, resume=kept)
    assert digest(whole) == digest(resumed)


def test_a_training_claims_what_part_of_its_time_it_waits_for_footage(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the worker looks for it."""
    training = Training(SMALL, train_info(tmp_path, 50), Pool(footage()[:1], 1, 128), 1)
    training.one(0.0)
    assert data_wait_pct(training.told()) is not None
    clock = iter(range(3))
    monkeypatch.setattr(hyperprior_train, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    training._told_at, training._waited_s = -1.0, 0.0
    training.crops()  # waits from 0 to 1, and is asked at 2
    assert data_wait_pct(training.told()) == pytest.approx(33.3)


def test_a_checkpoint_from_before_steps_were_passed_over_is_gone_on_with(tmp_path: Path) -> None:
    training = Training(SMALL, train_info(tmp_path, 50), Pool(footage()[:1], 1, 128), 1)
    training.one(0.0)
    tensors: Any = import_module("safetensors.torch")
    state = tensors.load_file(training.save(tmp_path / "checkpoint.safetensors"))
    tensors.save_file({**state, "at": state["at"][:3].clone()}, tmp_path / "older.safetensors")
    training.load(tmp_path / "older.safetensors")
    training.one(0.0)
    assert training.step == 2


def test_a_crop_that_throws_all_others_back_is_passed_over(tmp_path: Path) -> None:
    training = Training(SMALL, train_info(tmp_path, 50), Pool(footage()[:1], 1, 128), 1)
    for _ in range(3):
        training.one(0.0)
    crops = training.crops()
    before = [one.detach().clone() for one in training.network.parameters()]
    training.crops = lambda: crops * 1e4  # type: ignore[method-assign]
    training.one(0.0)
    assert all(map(torch.equal, before, training.network.parameters()))
    training.crops = lambda: crops  # type: ignore[method-assign]
    training.one(0.0)
    assert not all(map(torch.equal, before, training.network.parameters()))


def test_a_training_that_explodes_says_so(tmp_path: Path) -> None:
    training = Training(SMALL, train_info(tmp_path, 50), Pool(footage()[:1], 1, 128), 1)
    training.one(0.0)
    with torch.no_grad():
        training.network.transform.back.mul_(1e4)
    for _ in range(hyperprior_train.ASTRAY - 1):
        training.one(0.1)
    with pytest.raises(Diverged, match="the loss became"):
        training.one(0.1)
    with torch.no_grad():
        training.network.transform.back.fill_(float("nan"))
    with pytest.raises(Diverged, match="the loss became nan"):
        training.one(0.2)


def test_low_precision_leaves_the_entropy_models_as_they_are() -> None:
    torch.manual_seed(0)
    network = Network(SMALL, 0.01, 1.0)
    y, z = torch.randn(1, SMALL.latents, 8, 8), torch.randn(1, SMALL.hyper_latents, 2, 2) * 4
    results = []
    for lower in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=lower):
            results.append(network.coded(y, z))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_a_limit_in_seconds_counts_on_from_those_that_were_used(tmp_path: Path) -> None:
    now = [0.0]

    def tick() -> float:
        now[0] += 1.0
        return now[0]

    limit = TrainingLimit(seconds=6.0)
    told: list[int] = []
    kept = tmp_path / "kept.safetensors"
    first = msgspec.structs.replace(train_info(tmp_path, 0), limit=limit, checkpoint_s=0.0, checkpoint=lambda path: (
        told.append(1), shutil.copyfile(path, kept) if len(told) == 4 else None))
    learn(footage(), first, SMALL, tick)
    again = msgspec.structs.replace(first, resume=kept, checkpoint=lambda path: told.append(2))
    learn(footage(), again, SMALL, tick)
    assert (told.count(1), told.count(2)) == (6, 2)


def test_crops_are_a_function_of_seed_and_step() -> None:
    pool = Pool(footage(), 2, 128)
    assert np.array_equal(pool.crops(1, 5, 3), Pool(footage(), 2, 128).crops(1, 5, 3))
    assert not np.array_equal(pool.crops(1, 5, 3), pool.crops(1, 6, 3))
    assert pool.crops(1, 5, 3).shape == (3, 2, 6, 64, 64)


@pytest.mark.parametrize("seed", range(40))
def test_every_point_of_the_space_says_what_its_model_looks_like(seed: int) -> None:
    assert hyperprior.shape_of(sample(SPACE, Random(seed))).problems() == []


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
