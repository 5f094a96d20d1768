"""Small models of the family `hyperprior`, and the shortest ways through its two agents, for tests. Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpu_workers.codec.contract import Chunk, DecodeInfo, EncodeInfo, Frame, TrainInfo, TrainingLimit, VideoInfo
from gpu_workers.codec.decoder import hyperprior as decoder
from gpu_workers.codec.decoder.hyperprior_latents import Setup, Synthesis
from gpu_workers.codec.decoder.hyperprior_model import Shape, load_model
from gpu_workers.codec.families import hyperprior
from gpu_workers.codec.families.hyperprior_train import learn
from lab.space import Value
from support.streams import Clip, crop, header_of, stream

PARAMS: dict[str, Value] = {"transform": "dct16", "channels": 128, "frames": 1, "synthesis": "float", "price": 0.01,
                            "step": 1.0, "chroma": 1.0, "rate": 0.001, "crop": 128}
SMALL = Shape(channels=16, width=8, post=8, hyper_latents=8, hyper=(16, 8, 16))
VIDEO = VideoInfo(width=100, height=60, fps_num=25, fps_den=1, frames=1, pix_fmt="yuv420p")


def train_info(folder: Path, steps: int, **more: Any) -> TrainInfo:
    params = more.pop("params", PARAMS)
    return TrainInfo(params=params, scratch=folder, limit=TrainingLimit(steps=steps), seed=3, **more)


def footage() -> list[Clip]:
    return [crop("flower_720p30", 2, 320, 240), crop("walk_480p30", 2, 320, 240)]


def small_model(folder: Path, steps: int = 20, shape: Shape = SMALL, **more: Any) -> Path:
    return learn(footage(), train_info(folder, steps, **more), shape)


def waves(video: VideoInfo, frames: int, seed: int = 0) -> Clip:
    """Smooth pictures that move, with some noise, in any layout."""
    rng, most = np.random.default_rng(seed), (1 << video.bit_depth) - 1

    def plane(rows: int, columns: int, index: int) -> np.ndarray[Any, Any]:
        wave = np.sin(np.add.outer(np.arange(rows) / 9, np.arange(columns) / 7 + index))
        values = most * (0.5 + 0.4 * wave + 0.02 * rng.standard_normal((rows, columns)))
        return values.clip(0, most).astype(video.dtype)

    return Clip(video, [Frame(tuple(plane(*shape, index) for shape in video.plane_shapes)) for index in range(frames)])


def coded_small(clip: Clip, model: Path, synthesis: Synthesis = Synthesis.FLOAT, step: float = 1.0) -> list[Chunk]:
    """As `encode` does it, with a model of any shape."""
    return list(hyperprior.chunks(clip, clip.info, load_model(model), Setup.for_step(step, synthesis)))


def coded(clip: Clip, model: Path, params: dict[str, Value] | None = None) -> list[Chunk]:
    asked = EncodeInfo(video=clip.info, params=params or PARAMS, scratch=model.parent, threads=1)
    return list(hyperprior.encode(clip, asked, model))


def decoded(chunks: Sequence[Chunk], clip: Clip, model: Path, threads: int = 1) -> list[Frame]:
    return list(decoder.decode(iter(chunks), DecodeInfo(video=clip.info, threads=threads), model))


def as_stream(clip: Clip, chunks: Sequence[Chunk], digest: str) -> bytes:
    return stream(header_of(clip.info, "hyperprior", digest), chunks)


def psnr_db(clip: Clip, frames: Sequence[Frame]) -> float:
    """Of luma, from the mean squared error of all frames."""
    most = (1 << clip.info.bit_depth) - 1
    errors = [np.square(a.planes[0].astype(float) - b.planes[0]).mean() for a, b in zip(clip, frames, strict=True)]
    return float(10 * np.log10(most**2 / max(np.mean(errors), 1e-9)))


def farthest(a: Sequence[Frame], b: Sequence[Frame]) -> int:
    """The greatest difference of two samples, in code values."""
    return max(int(np.abs(x.astype(np.int32) - y.astype(np.int32)).max()) for one, other in zip(a, b, strict=True)
               for x, y in zip(one.planes, other.planes, strict=True))
