"""The family `restore` for tests: small parameters, streams made of them, and pictures with a known damage planted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gpu_workers.codec.contract import Chunk, EncodeInfo, Frame, Frames, TrainInfo
from gpu_workers.codec.decoder.classic import Coding
from gpu_workers.codec.decoder.restore_filter import LAYERS, Filter, Layer, shapes
from gpu_workers.codec.families import restore
from gpu_workers.codec.families.pictures import to_coded
from gpu_workers.codec.frames import Plane, VideoInfo
from lab.experiment import TrainingLimit
from lab.space import Value
from support.streams import Clip, header_of, stream

PLAIN: dict[str, Value] = {"crf": 35.0, "scale": "full", "gop_frames": 64, "bit_depth": 8, "channels": 0}
FITTED: dict[str, Value] = {**PLAIN, "channels": 8, "mode": "overfitted", "steps": 300}
TRAINED: dict[str, Value] = {**PLAIN, "channels": 8, "mode": "generic"}


def restore_chunks(clip: Frames, params: dict[str, Value], threads: int = 1, model: Path | None = None) -> list[Chunk]:
    with TemporaryDirectory() as folder:
        info = EncodeInfo(video=clip.info, params=params, scratch=Path(folder), threads=threads, seed=1)
        return list(restore.encode(clip, info, model))


def encode_info(clip: Frames, params: dict[str, Value] = PLAIN) -> EncodeInfo:
    return EncodeInfo(video=clip.info, params=params, scratch=Path("none"), seed=1)


def restore_stream(clip: Clip, params: dict[str, Value], threads: int = 1) -> bytes:
    return stream(header_of(clip.info, "restore"), restore_chunks(clip, params, threads))


def trained(clips: list[Clip], folder: Path, steps: int = 0, params: dict[str, Value] = TRAINED,
            **more: Any) -> Path:
    folder.mkdir()
    limit = more.pop("limit", TrainingLimit(steps=steps))
    return restore.train(clips, TrainInfo(params=params, scratch=folder, limit=limit, seed=1, **more))


def random_filter(channels: int, seed: int, largest: int = 31, shift: int = 9) -> Filter:
    """Weights and biases over all of their range."""
    rng = np.random.default_rng(seed)
    layers = [Layer(rng.integers(-largest, largest + 1, (outputs, inputs, 3, 3)).astype(np.int32),
                    rng.integers(-4096, 4097, outputs).astype(np.int32), shift) for inputs, outputs in shapes(channels)]
    assert len(layers) == LAYERS
    return Filter(tuple(layers))


def decoded_elsewhere(data: bytes, *options: str, **environment: str) -> bytes:
    """The planar frames that a fresh process makes of a stream."""
    done = subprocess.run([sys.executable, "-m", "gpu_workers.codec.decoder", *options], input=data, timeout=300,
                          capture_output=True, check=False, env={**os.environ, **environment})  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def blurring(plane: Plane) -> Plane:
    """A known low-pass along both sides: (1 2 1)/4 twice over."""
    wide = plane.astype(np.int32)
    for axis in (0, 1, 0, 1):
        before, after = (np.take(wide, np.clip(np.arange(wide.shape[axis]) + step, 0, wide.shape[axis] - 1), axis)
                         for step in (-1, 1))  # fmt: skip
        wide = (before + 2 * wide + after + 2) >> 2
    return wide.astype(plane.dtype)


def blurred_on_the_way(frame: Frame, video: VideoInfo, coding: Coding) -> Frame:
    """What an encoder sees whose way in is damaged; stands in for `pictures.to_coded`."""
    good = to_coded(frame, video, coding)
    return Frame((blurring(good.planes[0]), *good.planes[1:]))
