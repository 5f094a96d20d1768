"""The encoding agent of the family `hyperprior`: trains its networks, and codes frames with them band by band.

Each KEY chunk stands alone. What is transmitted is decided by the integer tables that the decoder will use, so that a
latent may be rounded to where it costs less than it loses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from gpu_workers.codec.contract import Chunk, EncodeInfo, Frame, Frames, Kind, TrainInfo, VideoInfo
from gpu_workers.codec.decoder import varint
from gpu_workers.codec.decoder.hyperprior_latents import Latents, Setup, Synthesis, bands, hyper_size
from gpu_workers.codec.decoder.hyperprior_model import EIGHTHS, HALF, HYPER, MOST_HYPER, Model, Shape, load_model
from gpu_workers.codec.decoder.hyperprior_planes import Real, padded_planes, to_planes
from gpu_workers.codec.families.hyperprior_freeze import thawed
from gpu_workers.codec.families.hyperprior_space import SPACE
from gpu_workers.codec.families.hyperprior_thrift import Thrift
from gpu_workers.codec.families.hyperprior_train import learn
from lab.errors import UserError
from lab.space import Value, problems


def train(clips: Sequence[Frames], info: TrainInfo) -> Path:
    """Raises UserError for parameters outside the space, Diverged where the loss explodes."""
    return learn(clips, info, shape_of(_checked(info.params)))


def encode(frames: Frames, info: EncodeInfo, model: Path | None) -> Iterator[Chunk]:
    """Raises UserError for parameters outside the space, or a model that was trained as something else."""
    params = _checked(info.params)
    import_module("torch").set_num_threads(max(1, info.threads))
    loaded = load_model(model)
    if loaded.shape != shape_of(params):
        raise UserError(f"the model is {loaded.shape}, and the parameters say {shape_of(params)}; use those it has")
    synthesis = Synthesis[str(params.get("synthesis", "float")).upper()]
    yield from chunks(frames, info.video, loaded, Setup.for_step(float(params["step"]), synthesis))


def chunks(frames: Frames, video: VideoInfo, model: Model, setup: Setup) -> Iterator[Chunk]:
    yield Chunk(Kind.CONFIG, 0, setup.to_bytes())
    coder = Coder(model, setup, video)
    for first, run in _runs(frames, model.shape.frames):
        yield Chunk(Kind.KEY, first, coder.encode(run))


def shape_of(params: Mapping[str, Value]) -> Shape:
    if params["transform"] == "gdn":
        width = int(params["width"])
        return Shape(transform="gdn", width=width, channels=width * 3 // 2, post=0)
    channels = int(params["channels"])
    return Shape(channels=channels, frames=int(params["frames"]), width=channels // 2)


class Coder:
    """Codes runs of frames of one video under one model and setup."""

    def __init__(self, model: Model, setup: Setup, video: VideoInfo) -> None:
        self._torch: Any = import_module("torch")
        self._shape, self._setup, self._video = model.shape, setup, video
        self._network, self._latents, self._thrift = thawed(model), Latents(model, setup), Thrift(model.tables)

    def encode(self, run: Sequence[Frame]) -> bytes:
        """One chunk's data: `run` has at most the shape's frames, and the last one stands for those that it lacks."""
        count, wanted = len(run), self._shape.frames
        planes = np.stack([padded_planes(to_planes(frame, self._video)) for frame in run])
        planes = np.concatenate((planes, np.repeat(planes[-1:], wanted - count, axis=0)))
        rows, columns = (side // HALF for side in planes.shape[2:])
        parts = [self._band(planes[:, :, HALF * top:HALF * bottom]) for top, bottom in bands(rows, columns)]
        head = varint.encode(count) if wanted > 1 else b""
        return b"".join([head, *(varint.encode(len(part)) + part for part in parts[:-1]), parts[-1]])

    def _band(self, planes: Real) -> bytes:
        with self._torch.inference_mode():
            y = self._network.analysis(self._torch.from_numpy(planes)[None])
            rows, columns = y.shape[2:]
            down, across = (HYPER * size - side for size, side in zip(hyper_size(rows, columns), (rows, columns),
                                                                      strict=True))
            padded = self._torch.nn.functional.pad(y, (0, across, 0, down), mode="replicate")
            z = self._network.hyper(padded)[0]
        hyper = z.round().clamp(-MOST_HYPER, MOST_HYPER).to(self._torch.int32).numpy()
        which, means = self._latents.prior(hyper, rows, columns)
        beside = y[0].numpy() / np.float32(self._setup.factor) - means / np.float32(EIGHTHS)
        return self._latents.pack(hyper, which, self._thrift.rounded(beside, which))


def _checked(params: Mapping[str, Value]) -> Mapping[str, Value]:
    if wrong := problems(SPACE, params):
        raise UserError(f"no such hyperprior codec: {wrong[0]}")
    return params


def _runs(frames: Frames, length: int) -> Iterator[tuple[int, list[Frame]]]:
    """Frames in runs of so many (the last may be shorter), with the index of each run's first."""
    run: list[Frame] = []
    for index, frame in enumerate(frames):
        run.append(frame)
        if len(run) == length:
            yield index + 1 - length, run
            run = []
    if run:
        yield len(frames) - len(run), run
