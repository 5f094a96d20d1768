"""From latents to a picture in whole numbers: `dct16` once more, so that every machine gives the very same frames.

The block transform is a product of whole-numbered matrices in 64 bit floating point, where no sum leaves what is
exact; the small networks before and after it are `WholeConv`s. Latents are in eighths of the model's steps, planes in
2¹² parts of black to white.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.decoder.entropy import Whole
from gpu_workers.codec.decoder.hyperprior_latents import STEP_BITS, Setup
from gpu_workers.codec.decoder.hyperprior_model import BLOCK_SAMPLES, HALF, WHOLE, Model
from gpu_workers.codec.decoder.hyperprior_planes import FINE, Fine, levels
from gpu_workers.codec.decoder.hyperprior_synthesis import HALO
from gpu_workers.codec.decoder.whole import WholeConv, module_of
from gpu_workers.codec.frames import VideoInfo
from lab.errors import UserError

PREFIX = WHOLE
WHITE_BITS = 12
MATRIX_BITS = 10  # of the block transform's fractions
TIME_BITS = 12
MOST_LATENT = (1 << 12) - 1  # eighths
MOST_PLANE = 1 << 14
NEAR_INPUT = 255  # halves of a step
NEAR_HIDDEN = 255
POST_INPUT = 1023  # 2¹⁰ parts of black to white, around the middle
POST_HIDDEN = 1023
_TO_HALVES = 2  # bits from eighths of a step
_TO_POST = WHITE_BITS - 10
_STRIP_ROWS = 128
# name: greatest input, least and greatest result
CONVS: Mapping[str, tuple[int, int, int]] = {
    "near.in": (NEAR_INPUT, 0, NEAR_HIDDEN),
    "near.out": (NEAR_HIDDEN, -MOST_LATENT, MOST_LATENT),
    "post.0": (POST_INPUT, 0, POST_HIDDEN),
    "post.1": (POST_HIDDEN, 0, POST_HIDDEN),
    "post.2": (POST_HIDDEN, -MOST_PLANE, MOST_PLANE),
}


class WholeSynthesis:
    """Raises UserError where the model has no whole numbers for it, or some that would not be exact."""

    def __init__(self, model: Model, setup: Setup) -> None:
        if not exact(model):
            raise UserError("the stream's pictures are to be made in whole numbers, which its model does not hold")
        self._torch: Any = import_module("torch")
        self._shape, self._step = model.shape, setup.step
        self._convs = {name: module_of(conv, pad=name.startswith("near")) for name, conv in convs(model).items()}
        self._matrix, self._bias, self._time = (self._double(model.weights[PREFIX + name])
                                                for name in ("blocks", "blocks.bias", "time"))

    def blocks(self, eighths: Whole) -> Whole:
        """(latents, rows, columns) → (frames, 6, 8·rows, 8·columns)"""
        scaled = (eighths.astype(np.int64) * self._step + (1 << STEP_BITS - 1)) >> STEP_BITS
        with self._torch.inference_mode():
            y = self._in_time(self._double(np.clip(scaled, -MOST_LATENT, MOST_LATENT)))
            near = (y / (1 << _TO_HALVES)).add_(0.5).floor_().clamp_(-NEAR_INPUT, NEAR_INPUT).float()
            y = (y + self._convs["near.out"](self._convs["near.in"](near)).double()).clamp_(-MOST_LATENT, MOST_LATENT)
            sums = self._torch.einsum("oc,nchw->nohw", self._matrix, y).add_(self._bias.reshape(-1, 1, 1))
            blocks = sums.mul_(2.0 ** -MATRIX_BITS).add_(0.5).floor_().clamp_(-MOST_PLANE, MOST_PLANE)
            planes: Whole = self._torch.nn.functional.pixel_shuffle(blocks.to(self._torch.int32), HALF).numpy()
            return planes

    def fine(self, planes: Whole, video: VideoInfo) -> Fine:
        """One frame's planes through the last network, as sixteenths of a code value."""
        black, luma_range, chroma_range = levels(video)
        scale = np.array([luma_range] * 4 + [chroma_range] * 2).reshape(-1, 1, 1) * FINE
        offset = np.array([black] * 4 + [1 << video.bit_depth - 1] * 2).reshape(-1, 1, 1) * FINE
        posted = self._posted(planes).astype(np.int64)
        return np.asarray(((posted * scale + (1 << WHITE_BITS - 1)) >> WHITE_BITS) + offset, np.int32)

    def _posted(self, planes: Whole) -> Whole:
        padded = np.pad(planes, ((0, 0), (HALO, HALO), (HALO, HALO)), mode="edge")
        middle = np.array([1 << WHITE_BITS - 1] * 4 + [0] * 2, np.int32).reshape(-1, 1, 1)
        seen = np.clip((padded - middle + (1 << _TO_POST - 1)) >> _TO_POST, -POST_INPUT, POST_INPUT).astype(np.float32)
        out = np.empty_like(planes)
        with self._torch.inference_mode():
            for top in range(0, planes.shape[1], _STRIP_ROWS):
                bottom = min(top + _STRIP_ROWS, planes.shape[1])
                x = self._torch.from_numpy(seen[None, :, top:bottom + 2 * HALO])
                x = x.contiguous(memory_format=self._torch.channels_last)
                for name in ("post.0", "post.1", "post.2"):
                    x = self._convs[name](x)
                out[:, top:bottom] = planes[:, top:bottom] + x[0].numpy().astype(np.int32)
        return np.clip(out, -MOST_PLANE, MOST_PLANE)

    def _in_time(self, y: Any) -> Any:
        frames, channels = self._shape.frames, self._shape.channels
        y = y.reshape(frames, channels, *y.shape[1:])
        if frames == 1:
            return y
        sums = self._torch.einsum("ts,schw->tchw", self._time, y)
        return sums.mul_(2.0 ** -TIME_BITS).add_(0.5).floor_().clamp_(-MOST_LATENT, MOST_LATENT)

    def _double(self, array: npt.NDArray[Any]) -> Any:
        return self._torch.from_numpy(array.astype(np.float64))


def convs(model: Model) -> dict[str, WholeConv]:
    """Raises ValueError where a sum of one could leave what is exact."""
    def part(name: str) -> Whole:
        return np.asarray(model.weights[PREFIX + name], np.int32)

    return {name: WholeConv(part(name), part(f"{name}.bias"), part(f"{name}.shift"), *bounds)
            for name, bounds in CONVS.items()}


def exact(model: Model) -> bool:
    """Whether the model has whole numbers, whose sums stay exact for any latents."""
    try:
        convs(model)
        matrix, bias, time = (np.abs(model.weights[PREFIX + name].astype(np.float64)) for name in
                              ("blocks", "blocks.bias", "time"))
    except (KeyError, ValueError):
        return False
    most = max((matrix.sum(axis=1) * MOST_LATENT + bias).max(), (time.sum(axis=1) * MOST_LATENT).max())
    return bool(most < 1 << 52) and matrix.shape == (BLOCK_SAMPLES, model.shape.channels)
