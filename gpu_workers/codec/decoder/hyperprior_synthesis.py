"""From latents to a picture in floating point: the two transforms of the family `hyperprior`, as functions of weights.

`dct16` is one matrix a block of 16×16, which starts as the DCT, with a small network among neighbouring blocks before
it and another one on the picture after it. `gdn` is CompressAI's: four transposed convolutions with inverse GDN
between them. Training runs these same functions, on weights that still change. torch is imported when they are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.decoder.hyperprior_model import HALF, Shape

HALO = 3  # what `posted` sees to each side, in half-size samples
STAGES = 4
Weights = Mapping[str, Any]


def tensors(weights: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """The weights as torch has them, in the layout that convolutions are quick with."""
    torch: Any = import_module("torch")
    found = {name: torch.from_numpy(array.astype(np.float32)) for name, array in weights.items()
             if array.dtype == np.float16}
    return {name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
            for name, tensor in found.items()}


def blocks(weights: Weights, shape: Shape, latents: Any) -> Any:
    """Latents (n, frames·channels, rows, columns) → planes (n·frames, 6, 8·rows, 8·columns) before `posted`."""
    return (dct16 if shape.transform == "dct16" else gdn)(weights, shape, latents)


def dct16(weights: Weights, shape: Shape, latents: Any) -> Any:
    torch: Any = import_module("torch")
    functional = torch.nn.functional
    y = in_time(weights["time"], latents, shape)
    hidden = functional.conv2d(widened(y, 1), weights["near.in"], weights["near.in.bias"]).relu()
    y = y + functional.conv2d(widened(hidden, 1), weights["near.out"])
    return functional.pixel_shuffle(functional.conv2d(y, weights["blocks"], weights["blocks.bias"]), HALF)


def in_time(matrix: Any, latents: Any, shape: Shape) -> Any:
    """(n, frames·channels, rows, columns) → (n·frames, channels, rows, columns), mixed along time by `matrix`."""
    torch: Any = import_module("torch")
    rows, columns = latents.shape[-2:]
    if shape.frames > 1:
        apart = latents.reshape(-1, shape.frames, shape.channels, rows, columns)
        latents = torch.einsum("ts,nschw->ntchw", matrix, apart)
    return latents.reshape(-1, shape.channels, rows, columns)


def gdn(weights: Weights, shape: Shape, latents: Any) -> Any:
    functional: Any = import_module("torch").nn.functional
    x = latents
    for stage in range(STAGES):
        x = functional.conv_transpose2d(x, weights[f"up.{stage}"], weights[f"up.{stage}.bias"], stride=2, padding=2,
                                        output_padding=1)
        if stage < STAGES - 1:
            x = x * functional.conv2d(x.square(), weights[f"up.{stage}.gamma"], weights[f"up.{stage}.beta"]).sqrt()
    return from_full(x)


def widened(x: Any, side: int) -> Any:
    """Edges repeated. Crops are small, and with zeros around them a network would learn to live at an edge."""
    return import_module("torch").nn.functional.pad(x, (side,) * 4, mode="replicate") if side else x


def from_full(picture: Any) -> Any:
    """Y, U and V of full size → six planes of half size."""
    torch: Any = import_module("torch")
    functional = torch.nn.functional
    return torch.cat((functional.pixel_unshuffle(picture[:, :1], 2), functional.avg_pool2d(picture[:, 1:], 2)), dim=1)


def posted(weights: Weights, padded: Any) -> Any:
    """Planes with `HALO` more on each side → planes, with the last network's correction. Without one, as they are."""
    functional: Any = import_module("torch").nn.functional
    inner = padded[..., HALO:-HALO, HALO:-HALO]
    if "post.0" not in weights:
        return inner
    x = functional.conv2d(padded, weights["post.0"], weights["post.0.bias"]).relu()
    x = functional.conv2d(x, weights["post.1"], weights["post.1.bias"]).relu()
    return inner + functional.conv2d(x, weights["post.2"], weights["post.2.bias"])
