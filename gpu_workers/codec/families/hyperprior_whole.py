"""Rounds a trained `dct16` synthesis to whole numbers, after training: what `decoder/hyperprior_whole.py` runs.

Hidden channels are scaled so that what they reach on some crops fills their range, with room to spare; the weights
after them take it back.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy.typing as npt

from gpu_workers.codec.decoder.hyperprior_model import EIGHTHS
from gpu_workers.codec.decoder.hyperprior_synthesis import HALO, blocks, in_time, widened
from gpu_workers.codec.decoder.hyperprior_whole import (
    CONVS,
    MATRIX_BITS,
    POST_INPUT,
    PREFIX,
    TIME_BITS,
    WHITE_BITS,
)
from gpu_workers.codec.decoder.whole import MOST_SUM, MOST_WEIGHT
from gpu_workers.codec.families.hyperprior_hyper import shifts
from gpu_workers.codec.families.hyperprior_network import Network

torch: Any = import_module("torch")
functional: Any = torch.nn.functional

_ROOM = 1.25
_LEAST = 1e-6
_HALVES = 2
_WHITE = float(1 << WHITE_BITS)


def whole_weights(network: Network, planes: Any) -> dict[str, npt.NDArray[Any]]:
    weights = network.transform.synthesis_weights()
    y = in_time(weights["time"], network.analysis(planes).round(), network.shape)
    found = _near(weights, y) | _post(weights, blocks(weights, network.shape, network.analysis(planes)))
    matrix = weights["blocks"].flatten(1) * (_WHITE / EIGHTHS * (1 << MATRIX_BITS))
    found["blocks"] = matrix.round().to(torch.int32)
    found["blocks.bias"] = (weights["blocks.bias"] * (_WHITE * (1 << MATRIX_BITS))).round().to(torch.int32)
    found["time"] = (weights["time"] * (1 << TIME_BITS)).round().to(torch.int32)
    return {PREFIX + name: one.numpy() for name, one in found.items()}


def _near(weights: dict[str, Any], y: Any) -> dict[str, Any]:
    first, bias, second = weights["near.in"], weights["near.in.bias"], weights["near.out"]
    hidden = functional.conv2d(widened(y, 1), first, bias).relu()
    gain = _gain("near.in", hidden, first / _HALVES, bias)
    return (_rounded("near.in", first * _column(gain) / _HALVES, bias * gain)
            | _rounded("near.out", second * EIGHTHS / gain.reshape(1, -1, 1, 1), torch.zeros(len(second))))


def _post(weights: dict[str, Any], planes: Any) -> dict[str, Any]:
    """The first layer sees planes around the middle of black and white: its bias takes that back."""
    first, second, third = (weights[f"post.{place}"] for place in range(3))
    biases = [weights[f"post.{place}.bias"] for place in range(3)]
    one = functional.conv2d(widened(planes, HALO), first, biases[0]).relu()
    two = functional.conv2d(one, second, biases[1]).relu()
    centred = biases[0] + first[:, :4].sum(dim=(1, 2, 3)) / 2
    ahead = _gain("post.0", one, first / (POST_INPUT + 1), centred)
    gains = ahead, _gain("post.1", two, second / ahead.reshape(1, -1, 1, 1), biases[1])
    return (_rounded("post.0", first * _column(gains[0]) / (POST_INPUT + 1), centred * gains[0])
            | _rounded("post.1", second * _column(gains[1]) / gains[0].reshape(1, -1, 1, 1), biases[1] * gains[1])
            | _rounded("post.2", third * _WHITE / gains[1].reshape(1, -1, 1, 1), biases[2] * _WHITE))


def _gain(name: str, hidden: Any, weights: Any, bias: Any) -> Any:
    """Of each channel, what it is scaled by: to fill its range, but never to where weights or sums would not fit. That
    is the case of channels which nothing on the crops wakes."""
    most_input, _, most = CONVS[name]
    reached = hidden.transpose(0, 1).flatten(1).amax(dim=1)
    flat = weights.flatten(1).abs()
    by_range = most / (reached * _ROOM).clamp(min=_LEAST)
    by_weight = MOST_WEIGHT / flat.amax(dim=1).clamp(min=_LEAST)
    by_sum = (MOST_SUM / 4) / (flat.sum(dim=1) * most_input + bias.abs()).clamp(min=_LEAST)
    return torch.minimum(torch.minimum(by_range, by_weight), by_sum)


def _rounded(name: str, weights: Any, bias: Any) -> dict[str, Any]:
    shift = shifts(weights, bias, CONVS[name][0])
    unit = torch.exp2(shift)
    return {name: (weights * _column(unit)).round().clamp(-MOST_WEIGHT, MOST_WEIGHT).to(torch.int8),
            f"{name}.bias": (bias * unit).round().to(torch.int32), f"{name}.shift": shift.to(torch.uint8)}


def _column(values: Any) -> Any:
    return values.reshape(-1, 1, 1, 1)


