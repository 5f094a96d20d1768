"""Convolutions in whole numbers that every processor computes alike: for what two machines must agree on to the bit.

Weights are 8 bit, inputs bounded, and each channel's sum is divided by a power of two of its own. Sums stay under 2²⁴,
so that 32 bit floating point holds each of them exactly, in whatever order and with whatever instructions they are
added. `WholeConv` refuses weights that could break this. A model trains against the same roundings.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.decoder.entropy import Whole

MOST_WEIGHT = 127
MOST_SHIFT = 20
MOST_SUM = 1 << 24


@dataclass(frozen=True)
class WholeConv:
    """`weights` (out, in, k, k) within ±127, `bias` (out,) on the scale of the sums, `shift` (out,) from 0 to 20.

    The result is ⌊(sum + bias + half) / 2^shift⌋ cut to `low` … `high`, where half makes the division round; inputs
    lie within ±`most_input`. Raises ValueError where a sum could leave what 32 bit floating point holds exactly.
    """

    weights: Whole
    bias: Whole
    shift: Whole
    most_input: int
    low: int
    high: int

    def __post_init__(self) -> None:
        outputs = self.weights.shape[0]
        if self.weights.ndim != 4 or self.bias.shape != (outputs,) or self.shift.shape != (outputs,):
            raise ValueError("weights, biases and shifts do not belong together")
        if np.abs(self.weights).max() > MOST_WEIGHT or self.shift.min() < 0 or self.shift.max() > MOST_SHIFT:
            raise ValueError("a weight or a shift is out of bounds")
        if int((row_sums(self.weights) * self.most_input + np.abs(self.offsets.astype(np.int64))).max()) >= MOST_SUM:
            raise ValueError("a sum could reach 2²⁴")

    @property
    def offsets(self) -> Whole:
        return np.asarray(self.bias + (np.left_shift(1, self.shift) >> 1), np.int32)


def row_sums(weights: Whole) -> npt.NDArray[np.int64]:
    """Of each output channel, the sum of its weights' magnitudes."""
    return np.asarray(np.abs(weights.astype(np.int64)).reshape(len(weights), -1).sum(axis=1))


def module_of(conv: WholeConv, pad: bool = True) -> Any:
    """The torch module: whole-valued float32 in and out; with `pad`, edges are repeated and the size stays."""
    torch: Any = import_module("torch")

    class Conv(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.from_numpy(conv.weights.astype(np.float32)).contiguous(
                memory_format=torch.channels_last)
            self.offsets = torch.from_numpy(conv.offsets.astype(np.float32))
            self.scale = torch.from_numpy(np.exp2(-conv.shift.astype(np.float32)).reshape(1, -1, 1, 1))

        def forward(self, x: Any) -> Any:
            side = conv.weights.shape[-1] // 2 if pad else 0
            x = torch.nn.functional.pad(x, (side,) * 4, mode="replicate") if side else x
            sums = torch.nn.functional.conv2d(x, self.weights, self.offsets)
            return sums.mul_(self.scale).floor_().clamp_(conv.low, conv.high)

    return Conv().eval()
