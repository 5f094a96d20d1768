"""The hyper-latents' two networks as they train: from latents to them, and from them to scales and means.

The second computes in training just what it will compute in whole numbers (`decoder/whole.py`), gradients passing
straight through the roundings.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from gpu_workers.codec.decoder.hyperprior_model import (
    ACTIVE,
    EIGHTHS,
    LAYERS,
    LEAST_SCALE,
    MOST_QUARTER,
    OCTAVE,
    QUARTERS,
    Shape,
    layer_bounds,
)
from gpu_workers.codec.decoder.hyperprior_synthesis import widened
from gpu_workers.codec.decoder.whole import MOST_SHIFT, MOST_SUM, MOST_WEIGHT

torch: Any = import_module("torch")
functional: Any = torch.nn.functional

HYPER_GAIN = 4.0  # so that hyper-latents fill a few steps from the start
_GAINS = (8.0, 1.0, 1.0)


class HyperAnalysis(torch.nn.Module):  # type: ignore[misc]
    """Latents and their magnitudes, in units of their spread → hyper-latents of a quarter of the size."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.hyper[0]
        self.first = torch.nn.Conv2d(2 * shape.latents, width, 3)
        self.second = torch.nn.Conv2d(width, width, 5, stride=2)
        self.third = torch.nn.Conv2d(width, shape.hyper_latents, 5, stride=2)

    def forward(self, y: Any) -> Any:
        x = functional.leaky_relu(self.first(widened(torch.cat((y, y.abs()), dim=1), 1)))
        return self.third(widened(functional.leaky_relu(self.second(widened(x, 2))), 2)) * HYPER_GAIN


class HyperDecoder(torch.nn.Module):  # type: ignore[misc]
    """Whole-valued hyper-latents → scales in quarters of a table, and means in eighths of a step, of every latent."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weights, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        for place, size in enumerate(shape.layer_shapes()):
            spread = 0.02 if place == LAYERS - 1 else math.sqrt(2 / (size[1] * size[2] * size[3]))
            self.weights.append(torch.nn.Parameter(torch.randn(size) * spread))
            self.biases.append(torch.nn.Parameter(torch.zeros(size[0])))
        self.register_buffer("start", torch.zeros(2 * shape.latents))
        self.register_buffer("gain", torch.ones(2 * shape.latents))

    def calibrate(self, centre: Any, spread: Any) -> None:
        quarters = (spread / LEAST_SCALE).log2() * (OCTAVE * QUARTERS)
        self.start.copy_(torch.cat((quarters, centre * EIGHTHS)))
        self.gain.copy_(torch.cat((torch.ones_like(spread), spread * (EIGHTHS / 32))))

    def forward(self, z: Any) -> tuple[Any, Any]:
        for place in range(LAYERS):
            weights, bias, _ = self.rounded(place)
            value = functional.conv2d(widened(z, weights.shape[-1] // 2), weights, bias)
            _, low, high = layer_bounds(place)
            z = straight((value.detach() + 0.5).floor(), value).clamp(low, high)
            if 0 < place < LAYERS - 1:
                z = functional.pixel_shuffle(z, 2)
        scales, means = z.chunk(2, dim=1)
        return scales, means

    def rounded(self, place: int) -> tuple[Any, Any, Any]:
        """A layer's weights and biases as whole numbers over 2^shift, and the shift of each output."""
        last = place == LAYERS - 1
        gain = self.gain[:, None, None, None] if last else _GAINS[place]
        weights = self.weights[place] * gain
        bias = self.biases[place] * self.gain + self.start if last else self.biases[place] * ACTIVE / 8
        shift = shifts(weights.detach(), bias.detach(), layer_bounds(place)[0])
        unit = torch.exp2(shift)
        whole = (weights.detach() * unit[:, None, None, None]).round().clamp(-MOST_WEIGHT, MOST_WEIGHT)
        weights = straight(whole / unit[:, None, None, None], weights)
        return weights, straight((bias.detach() * unit).round() / unit, bias), shift


def shifts(weights: Any, bias: Any, most_input: int) -> Any:
    """The finest division by a power of two, for each output, at which weights fit and sums stay exact."""
    flat = weights.flatten(1).abs()
    by_weight = (MOST_WEIGHT / flat.amax(dim=1).clamp(min=1e-9)).log2().floor()
    sums = flat.sum(dim=1) * most_input + bias.abs() + 1
    rounding = flat.shape[1] * most_input  # each weight may round up by a half
    by_sum = ((MOST_SUM - rounding) / sums).log2().floor()
    return torch.minimum(by_weight, by_sum).clamp(0, MOST_SHIFT)


def straight(value: Any, gradient_of: Any) -> Any:
    """`value`, with the gradient of the other."""
    return gradient_of + (value - gradient_of).detach()


def scale_of(quarters: Any) -> Any:
    """The standard deviation that a table stands for, in steps."""
    return LEAST_SCALE * torch.exp2(quarters.clamp(0, MOST_QUARTER) / (OCTAVE * QUARTERS))
