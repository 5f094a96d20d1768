"""The networks of `hyperprior` as they train: transforms, hyperprior, and CompressAI's entropy models.

    planes ─ analysis ─ y ──────────── quantise beside the mean ─ synthesis ─ planes
                        └ hyper-analysis ─ z ─ hyper-decoder ─ scale and mean of each y

The hyper-decoder computes in training just what it will compute in whole numbers (`whole.py`), gradients passing
straight through the roundings. `dct16` starts as the 16×16 DCT with steps that suit the price, its networks at almost
nothing: a random start needs hours for what this has before the first step.
"""

from __future__ import annotations

import math
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np

from gpu_workers.codec.decoder.hyperprior_model import (
    ACTIVE,
    BLOCK_SAMPLES,
    EIGHTHS,
    HALF,
    LAYERS,
    LEAST_SCALE,
    MOST_HYPER,
    MOST_QUARTER,
    OCTAVE,
    PLANES,
    QUARTERS,
    Shape,
    layer_bounds,
)
from gpu_workers.codec.decoder.hyperprior_synthesis import (
    HALO,
    STAGES,
    blocks,
    in_time,
    posted,
    widened,
)
from gpu_workers.codec.decoder.whole import MOST_SHIFT, MOST_SUM, MOST_WEIGHT

torch: Any = import_module("torch")
functional: Any = torch.nn.functional

RED_GREEN_BLUE = (1.0, 1.086, 0.825)  # what a squared error of Y, U, V is in the mean of R, G and B (BT.601)
MOST_DEVIATIONS = 8.0  # of a latent, that the hyper-analysis sees
LEAST_SPREAD = 0.05
SLOW = 0.1  # the matrices that start as the DCT move so much slower: they know most already


class Network(torch.nn.Module):  # type: ignore[misc]
    """`price` in bits a pixel for a squared error of one code value; `chroma` is what its errors count."""

    def __init__(self, shape: Shape, price: float, chroma: float) -> None:
        super().__init__()
        models: Any = import_module("compressai.entropy_models")
        self.shape = shape
        self.register_buffer("plane_weights", plane_weights(chroma), persistent=False)
        make = (Dct16, Gdn)[shape.transform == "gdn"]
        self.transform = make(shape, price, self.plane_weights)
        self.hyper_analysis = HyperAnalysis(shape)
        self.hyper_decoder = HyperDecoder(shape)
        self.hyper_prior = models.EntropyBottleneck(shape.hyper_latents)
        self.prior = models.GaussianConditional(None)
        self.register_buffer("centre", torch.zeros(shape.latents))
        self.register_buffer("spread", torch.ones(shape.latents))

    def forward(self, planes: Any) -> tuple[Any, Any]:
        """Planes (n, frames, 6, rows, columns) → (bits of each crop, mean squared error of each plane and crop)."""
        y = self.analysis(planes)
        bits, coded = self.coded(y.float(), self.hyper(y).float())
        return bits, (self.synthesis(coded).float() - planes).square().mean(dim=(1, 3, 4))

    def coded(self, y: Any, z: Any) -> tuple[Any, Any]:
        """The bits of latents and hyper-latents, and the latents as they are decoded: in fp32 on every device."""
        with torch.autocast(y.device.type, enabled=False):
            _, hyper_likelihoods = self.hyper_prior(z)
            scales, means = self.hyper_decoder(straight(z.round().clamp(-MOST_HYPER, MOST_HYPER), z))
            means = means / EIGHTHS
            _, likelihoods = self.prior(y, scale_of(scales), means)
            bits = sum(-one.log2().sum(dim=(1, 2, 3)) for one in (hyper_likelihoods, likelihoods))
            return bits, means + straight((y - means).round(), y - means)

    def analysis(self, planes: Any) -> Any:
        return self.transform.analysis(planes)

    def hyper(self, y: Any) -> Any:
        """What the hyper-latents are rounded from."""
        centred = (y - self.centre[:, None, None]) / self.spread[:, None, None]
        return self.hyper_analysis(centred.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS))

    def synthesis(self, y: Any) -> Any:
        weights = self.transform.synthesis_weights()
        planes = blocks(weights, self.shape, y)
        padded = widened(planes, HALO).contiguous(memory_format=torch.channels_last)
        planes = posted(weights, padded)
        return planes.reshape(-1, self.shape.frames, *planes.shape[1:])

    def calibrate(self, planes: Any) -> None:
        """Takes the latents' means and spreads from one batch, so that training starts near their distribution."""
        with torch.no_grad():
            self.transform.calibrate(planes)
            self.centre, self.spread = moments(self.analysis(planes))
            self.hyper_decoder.calibrate(self.centre, self.spread)


class Dct16(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, shape: Shape, price: float, weights: Any) -> None:
        super().__init__()
        channels, width = shape.channels, shape.width
        basis, steps = dct_start(channels, price, weights)
        self.shape = shape
        self.register_buffer("gain", torch.tensor(SLOW))
        self.into = torch.nn.Parameter(torch.from_numpy(basis / steps[:, None]) / SLOW)
        self.back = torch.nn.Parameter(torch.from_numpy((basis * steps[:, None]).T.copy()) / SLOW)
        self.back_bias = torch.nn.Parameter(torch.zeros(BLOCK_SAMPLES))
        self.time = torch.nn.Parameter(torch.from_numpy(dct(shape.frames)))
        self.back_time = torch.nn.Parameter(torch.from_numpy(dct(shape.frames).T.copy()))
        self.before = Near(channels, width)
        self.after = Near(channels, width)
        sides = (PLANES, shape.post, shape.post, PLANES)
        self.post = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 3) for a, b in pairwise(sides))
        torch.nn.init.zeros_(self.post[-1].weight)
        torch.nn.init.zeros_(self.post[-1].bias)

    def calibrate(self, planes: Any) -> None:
        for near in (self.before, self.after):
            near.centre, near.spread = moments(self._blocks(planes))

    def _blocks(self, planes: Any) -> Any:
        x = functional.pixel_unshuffle(planes.flatten(0, 1), HALF)
        return functional.conv2d(x, (self.into * self.gain)[:, :, None, None])

    def analysis(self, planes: Any) -> Any:
        y = self._blocks(planes)
        y = y + self.before(y)
        y = y.reshape(-1, self.shape.latents, *y.shape[2:])
        return in_time(self.time, y, self.shape).reshape(y.shape)

    def synthesis_weights(self) -> dict[str, Any]:
        found = {"time": self.back_time, "blocks": (self.back * self.gain)[:, :, None, None],
                 "blocks.bias": self.back_bias * self.gain, "near.out": self.after.second.weight}
        found["near.in"], found["near.in.bias"] = self.after.folded()
        for place, layer in enumerate(self.post):
            found |= {f"post.{place}": layer.weight, f"post.{place}.bias": layer.bias}
        return found


class Near(torch.nn.Module):  # type: ignore[misc]
    """What neighbouring blocks tell of one another: starts as nothing.

    It sees latents in units of their spread. Without that the mean brightness, a hundred times as large as the rest,
    soon kills every ReLU.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(channels, width, 3)
        self.second = torch.nn.Conv2d(width, channels, 3, bias=False)
        torch.nn.init.zeros_(self.second.weight)
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))

    def forward(self, y: Any) -> Any:
        weights, bias = self.folded()
        return self.second(widened(functional.conv2d(widened(y, 1), weights, bias).relu(), 1))

    def folded(self) -> tuple[Any, Any]:
        """The first layer's weights and biases for latents as they are."""
        weights = self.first.weight / self.spread[:, None, None]
        return weights, self.first.bias - (weights * self.centre[:, None, None]).sum(dim=(1, 2, 3))


class Gdn(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, shape: Shape, price: float, weights: Any) -> None:
        super().__init__()
        layers: Any = import_module("compressai.layers")
        models: Any = import_module("compressai.models.utils")
        sides = [3, *[shape.width] * (STAGES - 1), shape.channels]
        down: list[Any] = []
        up: list[Any] = []
        for place in range(STAGES):
            down.append(models.conv(sides[place], sides[place + 1]))
            up.insert(0, models.deconv(sides[place + 1], sides[place]))
        self.down, self.up = torch.nn.ModuleList(down), torch.nn.ModuleList(up)
        self.norms = torch.nn.ModuleList(layers.GDN(shape.width) for _ in range(STAGES - 1))
        self.inverse_norms = torch.nn.ModuleList(layers.GDN(shape.width, inverse=True) for _ in range(STAGES - 1))

    def calibrate(self, planes: Any) -> None:
        pass  # it starts at random

    def analysis(self, planes: Any) -> Any:
        x = to_full(planes.flatten(0, 1))
        for place, layer in enumerate(self.down):
            x = layer(x)
            x = self.norms[place](x) if place < STAGES - 1 else x
        return x

    def synthesis_weights(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for place, layer in enumerate(self.up):
            found |= {f"up.{place}": layer.weight, f"up.{place}.bias": layer.bias}
        for place, norm in enumerate(self.inverse_norms):
            gamma = norm.gamma_reparam(norm.gamma)
            found |= {f"up.{place}.gamma": gamma[:, :, None, None], f"up.{place}.beta": norm.beta_reparam(norm.beta)}
        return found


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


HYPER_GAIN = 4.0  # so that hyper-latents fill a few steps from the start
_GAINS = (8.0, 1.0, 1.0)


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


def moments(y: Any) -> tuple[Any, Any]:
    """Each channel's mean and standard deviation."""
    flat = y.detach().transpose(0, 1).flatten(1)
    return flat.mean(dim=1), flat.std(dim=1).clamp(min=LEAST_SPREAD)


def straight(value: Any, gradient_of: Any) -> Any:
    """`value`, with the gradient of the other."""
    return gradient_of + (value - gradient_of).detach()


def scale_of(quarters: Any) -> Any:
    """The standard deviation that a table stands for, in steps."""
    return LEAST_SCALE * torch.exp2(quarters.clamp(0, MOST_QUARTER) / (OCTAVE * QUARTERS))


def plane_weights(chroma: float) -> Any:
    red_green_blue = np.array(RED_GREEN_BLUE) * (1.0, chroma, chroma)
    return torch.tensor([red_green_blue[0] / 4] * 4 + list(red_green_blue[1:]), dtype=torch.float32)


def to_full(planes: Any) -> Any:
    """Six planes of half size → Y, U and V of full size."""
    return torch.cat((functional.pixel_shuffle(planes[:, :4], 2),
                      functional.interpolate(planes[:, 4:], scale_factor=2)), dim=1)


def dct(size: int) -> Any:
    """The orthonormal DCT-II, a frequency a row."""
    frequency, place = np.mgrid[:size, :size]
    matrix = np.cos(np.pi * frequency * (2 * place + 1) / (2 * size)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.astype(np.float32)


def dct_start(channels: int, price: float, weights: Any) -> tuple[Any, Any]:
    """Rows over a block's samples in the order of `pixel_unshuffle`, lowest frequencies first, and their steps.

    Three quarters are luma's 16×16 DCT, the rest U's and V's 8×8. At a price λ the best step at a high rate is
    √(6 / (λ ln 2)) code values for an error that counts one; this start is √3 times that, since rates are low.
    """
    step = math.sqrt(18 / (price * math.log(2))) / 255
    chroma = channels // 8
    luma = _luma_rows(channels - 2 * chroma)
    rows, steps = [luma], [np.full(len(luma), step)]
    for plane in (4, 5):
        block = np.zeros((chroma, PLANES, HALF * HALF), np.float32)
        block[:, plane] = _lowest(HALF, chroma).reshape(chroma, -1)
        rows.append(block.reshape(chroma, -1))
        steps.append(np.full(chroma, step / math.sqrt(4 * float(weights[plane]))))
    return np.concatenate(rows), np.concatenate(steps).astype(np.float32)


def _luma_rows(count: int) -> Any:
    block = np.zeros((count, PLANES, HALF, HALF), np.float32)
    patterns = _lowest(2 * HALF, count)
    for place in range(4):
        block[:, place] = patterns[:, place // 2::2, place % 2::2]
    return block.reshape(count, -1)


def _lowest(size: int, count: int) -> Any:
    """The two-dimensional DCT's patterns of the lowest frequencies, (count, size, size)."""
    one = dct(size)
    down, across = np.mgrid[:size, :size]
    order = np.argsort((down.reshape(-1)**2 + across.reshape(-1)**2), kind="stable")[:count]
    return np.einsum("kr,kc->krc", one[order // size], one[order % size])

