"""Fits a `Filter` to pairs of coded and original pictures, with the roundings of the decoder in the loop.

Adam with a cosine schedule, random crops that are a pure function of (seed, step), and an average over the last steps.
Weights are rounded as the decoder has them from a fifth of the steps on, and their bytes are part of the loss at the
price that the base encoder's own rate-distortion curve gives. Steps only, no clock: the same pairs, steps and seed give
the same filter, with any number of threads. Half of it can be saved and gone on with, to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.decoder.restore_filter import (
    HALO,
    LAYERS,
    MOST_BIAS,
    MOST_SHIFT,
    MOST_WEIGHT,
    PLANES,
    TOP,
    Filter,
    Layer,
)
from lab.errors import Diverged

UNIT = 64.0  # samples to the network's floating point: about what a coding error is
CROP = 64  # half-size samples a side
CROPS = 16  # a step
CHROMA = 0.125  # of an error in U or V, against luma's
_WARM_STEPS = 50
_FLOAT_SHARE = 0.2  # of the steps, before weights are rounded
_AVERAGE_SHARE = 0.3  # of the steps, at the end
_RATES = {8: 4e-3, 16: 3e-3, 32: 2e-3}
_EXPLODED = 100.0  # times the error of no filter at all
_PLANE_WEIGHTS = (0.25, 0.25, 0.25, 0.25, CHROMA, CHROMA)


@dataclass(frozen=True)
class Pairs:
    """`coded` (n, 6, rows + 2·HALO, columns + 2·HALO) with edges repeated and `original` (n, 6, rows, columns), both as
    `to_half` gives them. `importance` (n,) is what a squared error in that picture counts."""

    coded: npt.NDArray[np.int16]
    original: npt.NDArray[np.int16]
    importance: npt.NDArray[np.float32]

    @property
    def luma_error(self) -> float:
        """Mean squared error of luma without a filter, weighted as the loss is, in squared `UNIT`s."""
        inner = self.coded[:, :4, HALO:-HALO, HALO:-HALO]
        each = [float(np.square(a.astype(np.float32) - b).mean()) for a, b in zip(inner, self.original[:, :4],
                                                                                  strict=True)]
        return max(float(np.mean(np.array(each) * self.importance)), 1e-3) / UNIT**2


def pairs_of(coded: list[npt.NDArray[np.int16]], original: list[npt.NDArray[np.int16]]) -> Pairs:
    """The importance is one over the picture's own error, because the mean of the pictures' PSNR is what counts."""
    errors = [float(np.square(a[:4].astype(np.float32) - b[:4]).mean()) for a, b in zip(coded, original, strict=True)]
    inverse = 1 / np.maximum(np.array(errors, np.float32), 1.0)
    padded = np.stack([np.pad(one, ((0, 0), (HALO, HALO), (HALO, HALO)), mode="edge") for one in coded])
    return Pairs(padded, np.stack(original), inverse / inverse.mean())


class Fitting:
    """One filter being fitted. `price` is what a byte of weights costs, as a share of the luma error."""

    def __init__(self, channels: int, steps: int, seed: int, price: float = 0.0) -> None:
        self._torch: Any = import_module("torch")
        self.channels, self.steps, self.seed, self.price = channels, steps, seed, price
        self.step = 0
        self._shifts = [-1] * LAYERS  # not rounded yet
        rng = np.random.default_rng([seed, channels])
        self._parameters: list[Any] = []
        for place, (inputs, outputs) in enumerate(self._shapes()):
            spread = 0.0 if place == LAYERS - 1 else math.sqrt(2 / (9 * inputs))
            weights = rng.standard_normal((outputs, inputs, 3, 3)).astype(np.float32) * np.float32(spread)
            self._parameters += [self._torch.from_numpy(weights), self._torch.zeros(outputs)]
        for one in self._parameters:
            one.requires_grad_(True)
        self._adam = self._torch.optim.Adam(self._parameters, lr=1.0, betas=(0.9, 0.99), foreach=False)
        self._average = [one.detach().clone() for one in self._parameters]

    def run(self, pairs: Pairs, steps: int) -> float:
        """So many more steps; the last one's loss, where 1 is no filter at all. Raises Diverged."""
        luma_error, loss = pairs.luma_error, 1.0
        for _ in range(steps):
            loss = self._one(pairs, luma_error)
        return loss

    def filter(self) -> Filter:
        """What the decoder would run: the average of the last steps, rounded."""
        layers = []
        for place, shift in enumerate(self._shifts):
            weights, bias = (self._average[2 * place + part].numpy().astype(np.float64) for part in (0, 1))
            shift = shift if shift >= 0 else _shift(float(np.abs(weights).max()))
            whole = np.clip(np.round(weights * 2.0**shift), -MOST_WEIGHT, MOST_WEIGHT).astype(np.int32)
            eighths = np.clip(np.round(bias * UNIT * 8), -MOST_BIAS, MOST_BIAS).astype(np.int32)
            layers.append(Layer(whole, eighths, shift))
        return Filter(tuple(layers))

    def _one(self, pairs: Pairs, luma_error: float) -> float:
        torch = self._torch
        if self.step == int(self.steps * _FLOAT_SHARE):
            self._shifts = [_shift(float(one.detach().abs().max())) for one in self._parameters[::2]]
        coded, original, importance = self._crops(pairs)
        rounded, bits = self._rounded()
        out = self._network(coded, rounded)
        error = (out + coded[:, :, HALO:-HALO, HALO:-HALO] - original).square().mean(dim=(2, 3))
        plane_weights = torch.tensor(_PLANE_WEIGHTS)
        distortion = ((error * plane_weights).sum(dim=1) * importance).mean() / luma_error
        loss = distortion + bits * (self.price / 8)
        for group in self._adam.param_groups:
            group["lr"] = self._rate()
        self._adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0, foreach=False)
        self._adam.step()
        self.step += 1
        self._take_average()
        value = float(distortion.detach())
        if not value < _EXPLODED:
            raise Diverged(f"the filter's error became {value:.3g} times that of no filter at step {self.step}")
        return value

    def _network(self, x: Any, rounded: list[Any]) -> Any:
        functional = self._torch.nn.functional
        for place in range(LAYERS):
            x = functional.conv2d(x, rounded[2 * place], rounded[2 * place + 1])
            if place < LAYERS - 1:
                x = x.clamp(0, TOP / UNIT)
        return x

    def _rounded(self) -> tuple[list[Any], Any]:
        """Weights as the decoder has them, gradients passing straight through, and about how many bits they take: of a
        two-sided geometric distribution with their mean size, layer by layer."""
        out, bits = [], self._torch.zeros(())
        for place, shift in enumerate(self._shifts):
            weights, bias = self._parameters[2 * place:2 * place + 2]
            if shift >= 0:
                scaled = weights * 2.0**shift
                whole = scaled.detach().round().clamp(-MOST_WEIGHT, MOST_WEIGHT)
                bits = bits + weights.numel() * self._torch.log2(1 + 2 * math.e * scaled.abs().mean())
                weights = weights + (whole * 2.0**-shift - weights.detach())
            out += [weights, bias]
        return out, bits

    def _crops(self, pairs: Pairs) -> tuple[Any, Any, Any]:
        rng = np.random.default_rng([self.seed, 1, self.step])
        count, _, rows, columns = pairs.original.shape
        high, wide = min(CROP, rows), min(CROP, columns)
        coded = np.empty((CROPS, PLANES, high + 2 * HALO, wide + 2 * HALO), np.float32)
        original = np.empty((CROPS, PLANES, high, wide), np.float32)
        picked = rng.integers(count, size=CROPS)
        for place, which in enumerate(picked):
            top, left = int(rng.integers(rows - high + 1)), int(rng.integers(columns - wide + 1))
            coded[place] = pairs.coded[which, :, top:top + high + 2 * HALO, left:left + wide + 2 * HALO]
            original[place] = pairs.original[which, :, top:top + high, left:left + wide]
        return tuple(self._torch.from_numpy(one) for one in (coded / UNIT, original / UNIT, pairs.importance[picked]))

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / _WARM_STEPS)
        return warm * _RATES.get(self.channels, 2e-3) * 0.5 * (1 + math.cos(math.pi * self.step / self.steps))

    def _take_average(self) -> None:
        """The mean of the parameters over the last share of the steps; until then what they are."""
        seen = self.step - int(self.steps * (1 - _AVERAGE_SHARE))
        for mean, now in zip(self._average, self._parameters, strict=True):
            mean.lerp_(now.detach(), 1 / max(1, seen))

    def _shapes(self) -> list[tuple[int, int]]:
        sides = [PLANES, *[self.channels] * (LAYERS - 1), PLANES]
        return list(pairwise(sides))


def _shift(largest: float) -> int:
    """The finest division by a power of two that this weight still fits."""
    return min(MOST_SHIFT, max(0, math.floor(math.log2(MOST_WEIGHT / max(largest, 1e-6)))))
