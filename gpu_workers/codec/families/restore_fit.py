"""Fits a `Filter` to pairs of coded and original pictures, with the roundings of the decoder in the loop.

Adam with a cosine schedule, random crops that are a pure function of (seed, step), and an average over the last steps.
Weights are rounded as the decoder has them from a fifth of the steps on, and their bytes are part of the loss at the
price that the base encoder's own rate-distortion curve gives. Steps only, no clock, and always one thread: the same
pairs, steps and seed give the same filter, whatever the caller has set. It can be saved half way and gone on with in
another process, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import fmean
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
    network,
    restored,
    shapes,
)
from lab.errors import Diverged, UserError

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
_LEAST_ERROR = 1.0  # of a picture, squared 10 bit steps: a better one is not fought for
Half = npt.NDArray[np.int16]  # what `to_half` gives


@dataclass(frozen=True)
class Pairs:
    """`coded` (n, 6, rows + 2·HALO, columns + 2·HALO) with edges repeated and `original` (n, 6, rows, columns), both as
    `to_half` gives them. `importance` (n,) is what a squared error in that picture counts: one over the picture's own
    luma error without a filter, because the mean of the pictures' PSNR is what counts."""

    coded: Half
    original: Half
    importance: npt.NDArray[np.float32]

    @classmethod
    def of(cls, pictures: Iterable[tuple[Half, Half]], count: int) -> Pairs:
        """From `count` pairs of (6, rows, columns)."""
        coded = original = np.empty(0, np.int16)
        errors = np.empty(count, np.float32)
        for place, (before, after) in enumerate(pictures):
            if place == 0:
                planes, rows, columns = after.shape
                coded = np.empty((count, planes, rows + 2 * HALO, columns + 2 * HALO), np.int16)
                original = np.empty((count, planes, rows, columns), np.int16)
            coded[place] = np.pad(before, ((0, 0), (HALO, HALO), (HALO, HALO)), mode="edge")
            original[place] = after
            errors[place] = np.square(before[:4].astype(np.float32) - after[:4]).mean()
        return cls(coded, original, (UNIT**2 / np.maximum(errors, _LEAST_ERROR)).astype(np.float32))


class Fitting:
    """One filter being fitted. `price` is what a byte of weights costs, as a share of the luma error."""

    def __init__(self, channels: int, steps: int, seed: int, price: float = 0.0) -> None:
        self._torch: Any = import_module("torch")
        self.channels, self.steps, self.seed, self.price = channels, steps, seed, price
        self.step = 0
        self.spent_s = 0.0  # for whoever limits by time
        self._shifts = [-1] * LAYERS  # not rounded yet
        rng = np.random.default_rng([seed, channels])
        self._parameters: list[Any] = []
        for place, (inputs, outputs) in enumerate(shapes(channels)):
            spread = 0.0 if place == LAYERS - 1 else math.sqrt(2 / (9 * inputs))
            weights = rng.standard_normal((outputs, inputs, 3, 3)).astype(np.float32) * np.float32(spread)
            self._parameters += [self._torch.from_numpy(weights), self._torch.zeros(outputs)]
        for one in self._parameters:
            one.requires_grad_(True)
        self._adam = self._torch.optim.Adam(self._parameters, lr=1.0, betas=(0.9, 0.99), foreach=False)
        self._average = [one.detach().clone() for one in self._parameters]

    def run(self, pairs: Sequence[Pairs], steps: int) -> float:
        """So many more steps; the last one's loss, where 1 is about no filter at all. Raises Diverged."""
        loss = 1.0
        with _one_thread(self._torch):
            for _ in range(steps):
                loss = self._one(pairs)
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

    def start_from(self, filter_: Filter) -> None:
        """Takes another filter's weights in place of random ones. Raises UserError for one of other channels."""
        if filter_.channels != self.channels:
            raise UserError(f"the parent's filter has {filter_.channels} channels, not {self.channels}; ask for those")
        with self._torch.no_grad():
            for place, layer in enumerate(filter_.layers):
                weights, bias = self._parameters[2 * place:2 * place + 2]
                weights.copy_(self._torch.from_numpy(layer.weights * 2.0**-layer.shift))
                bias.copy_(self._torch.from_numpy(layer.bias / (8 * UNIT)))
        self._take_average()

    def save(self, path: Path) -> None:
        """All that going on needs; `seed` and `price` are the caller's to give again."""
        from safetensors.torch import save_file

        numbers = self._torch.tensor([self.step, self.steps, *self._shifts])
        spent_s = self._torch.tensor(self.spent_s, dtype=self._torch.float64)
        save_file({**self._state(), "numbers": numbers, "spent_s": spent_s}, path)

    def load(self, path: Path) -> None:
        """Goes on from there. Raises UserError for what is no state of a fitting of these channels."""
        from safetensors.torch import load_file

        try:
            kept = load_file(path)
            self.step, self.steps, *self._shifts = kept["numbers"].tolist()
            self.spent_s = float(kept["spent_s"])
            for name, tensor in self._state().items():
                tensor.copy_(kept[name])
        except Exception as error:  # the library has no narrower error that covers a bad file
            raise UserError(f"{path} is no checkpoint of this training: {error}") from error

    def _state(self) -> dict[str, Any]:
        """The tensors themselves, by name."""
        parts = {"now": [one.detach() for one in self._parameters], "mean": self._average,
                 "first": [state["exp_avg"] for state in self._adam_state()],
                 "second": [state["exp_avg_sq"] for state in self._adam_state()]}
        return {f"{part}.{place}": tensor for part, tensors in parts.items() for place, tensor in enumerate(tensors)}

    def _adam_state(self) -> list[dict[str, Any]]:
        for one in self._parameters:
            self._adam.state[one] = {
                "exp_avg": self._torch.zeros_like(one), "exp_avg_sq": self._torch.zeros_like(one),
                **self._adam.state[one], "step": self._torch.tensor(float(self.step)),
            }
        return [self._adam.state[one] for one in self._parameters]

    def _one(self, pairs: Sequence[Pairs]) -> float:
        torch = self._torch
        if self._shifts[0] < 0 and self.step >= int(self.steps * _FLOAT_SHARE):
            self._shifts = [_shift(float(one.detach().abs().max())) for one in self._parameters[::2]]
        coded, original, importance = self._crops(pairs)
        rounded, bits = self._rounded()
        out = self._network(coded, rounded)
        error = (out + coded[:, :, HALO:-HALO, HALO:-HALO] - original).square().mean(dim=(2, 3))
        distortion = ((error * torch.tensor(_PLANE_WEIGHTS)).sum(dim=1) * importance).mean()
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
        functional, last = self._torch.nn.functional, self._torch.channels_last  # twice as fast here
        x = x.contiguous(memory_format=last)
        for place in range(LAYERS):
            x = functional.conv2d(x, rounded[2 * place].contiguous(memory_format=last), rounded[2 * place + 1])
            if place < LAYERS - 1:
                x = functional.hardtanh(x, 0.0, TOP / UNIT)  # as clamp, with the faster gradient
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

    def _crops(self, pairs: Sequence[Pairs]) -> tuple[Any, Any, Any]:
        rng = np.random.default_rng([self.seed, 1, self.step])
        high, wide = (min(CROP, *(one.original.shape[axis] for one in pairs)) for axis in (2, 3))
        coded = np.empty((CROPS, PLANES, high + 2 * HALO, wide + 2 * HALO), np.float32)
        original = np.empty((CROPS, PLANES, high, wide), np.float32)
        importance = np.empty(CROPS, np.float32)
        ends = np.cumsum([len(one.original) for one in pairs])
        for place, number in enumerate(rng.integers(ends[-1], size=CROPS)):
            which = int(np.searchsorted(ends, number, side="right"))
            one, picture = pairs[which], number - ends[which]  # from the end of its own
            rows, columns = one.original.shape[2:]
            top, left = int(rng.integers(rows - high + 1)), int(rng.integers(columns - wide + 1))
            coded[place] = one.coded[picture, :, top:top + high + 2 * HALO, left:left + wide + 2 * HALO]
            original[place] = one.original[picture, :, top:top + high, left:left + wide]
            importance[place] = one.importance[picture]
        return tuple(self._torch.from_numpy(array) for array in (coded / UNIT, original / UNIT, importance))

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / _WARM_STEPS)
        return warm * _RATES.get(self.channels, 2e-3) * 0.5 * (1 + math.cos(math.pi * self.step / self.steps))

    def _take_average(self) -> None:
        """The mean of the parameters over the last share of the steps; until then what they are."""
        seen = self.step - int(self.steps * (1 - _AVERAGE_SHARE))
        for mean, now in zip(self._average, self._parameters, strict=True):
            mean.lerp_(now.detach(), 1 / max(1, seen))


def gain_db(filter_: Filter, pairs: Pairs, most: int = 8) -> float:
    """By how much the decoder raises the PSNR-Y of these pictures, evenly picked, before their depth is restored."""
    module, gains = network(filter_), []
    for place in range(0, len(pairs.original), -(-len(pairs.original) // most)):
        before, wanted = pairs.coded[place, :, HALO:-HALO, HALO:-HALO], pairs.original[place, :4]
        after = restored(module, np.ascontiguousarray(before))
        errors = [float(np.square(one[:4].astype(np.float32) - wanted).mean()) for one in (before, after)]
        gains.append(10 * math.log10(max(errors[0], _LEAST_ERROR) / max(errors[1], _LEAST_ERROR)))
    return fmean(gains)


@contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    """Gradients of weights are summed in another order with each number of threads, and differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _shift(largest: float) -> int:
    """The finest division by a power of two that this weight still fits."""
    return min(MOST_SHIFT, max(0, math.floor(math.log2(MOST_WEIGHT / max(largest, 1e-6)))))
