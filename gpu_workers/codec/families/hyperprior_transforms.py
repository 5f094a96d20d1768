"""The two transforms of `hyperprior` as they train: analysis, and the weights that the decoder's synthesis runs on.

`dct16` starts as the DCT, its networks at almost nothing; `gdn` is CompressAI's and starts at random.
"""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from typing import Any

from gpu_workers.codec.decoder.hyperprior_model import BLOCK_SAMPLES, HALF, PLANES, Shape
from gpu_workers.codec.decoder.hyperprior_synthesis import STAGES, in_time, widened
from gpu_workers.codec.families.hyperprior_dct import dct, dct_start

torch: Any = import_module("torch")
functional: Any = torch.nn.functional

LEAST_SPREAD = 0.05
SLOW = 0.1  # the matrices that start as the DCT move so much slower: they know most already


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


def moments(y: Any) -> tuple[Any, Any]:
    """Each channel's mean and standard deviation."""
    flat = y.detach().transpose(0, 1).flatten(1)
    return flat.mean(dim=1), flat.std(dim=1).clamp(min=LEAST_SPREAD)


def to_full(planes: Any) -> Any:
    """Six planes of half size → Y, U and V of full size."""
    return torch.cat((functional.pixel_shuffle(planes[:, :4], 2),
                      functional.interpolate(planes[:, 4:], scale_factor=2)), dim=1)
