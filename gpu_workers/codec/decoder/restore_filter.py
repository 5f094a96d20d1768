"""The small network of the family `restore` as whole numbers: its weights, their bytes, and what it does to a picture.

Four 3×3 convolutions on six planes of half the size (four of luma, U, V), and their sum with the picture. Samples are
10 bit, weights 6 bit, each layer's result is divided by a power of two and cut to 10 bit: no sum reaches 2²⁴, so
that convolutions in 32 bit floating point are exact and every processor gives the same picture. torch is imported when
a picture is restored, constriction when weights are coded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.decoder import varint
from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.decoder.header import Fields

PLANES = 6
LAYERS = 4
HALO = LAYERS  # what a result sees to each side, in half-size samples
BITS = 10  # of samples and of what lies between the layers
TOP = (1 << BITS) - 1
MIDDLE = 1 << BITS - 1
MOST_WEIGHT = 31
MOST_SHIFT = 12
MOST_CHANNELS = 32
MOST_BIAS = 1 << 12  # in eighths of a 10 bit step, so that a bias and its sum stay under 2²⁴
_BIAS_BITS = 3
_STRIP_ROWS = 128  # of half size: bounded memory, and the layers stay in the processor's cache
_TABLE_TOP = 1 << 20
_ROUGHEST_DECAY = 256
Whole = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Layer:
    """`weights` (out, in, 3, 3) within ±31 and `bias` (out,) in eighths of a step; the sum is divided by 2^shift."""

    weights: Whole
    bias: Whole
    shift: int

    @property
    def offsets(self) -> Whole:
        """The biases on the scale of the sums, with the half that makes the division round."""
        scaled = np.left_shift(self.bias, max(self.shift - _BIAS_BITS, 0)) >> max(_BIAS_BITS - self.shift, 0)
        return np.asarray(scaled + (1 << self.shift >> 1), np.int32)


@dataclass(frozen=True)
class Filter:
    layers: tuple[Layer, ...]

    @property
    def channels(self) -> int:
        return len(self.layers[0].bias)

    def to_bytes(self) -> bytes:
        """Channels; for each layer its shift, two bytes that shape its table, and its biases; then the weights."""
        head = [bytes([self.channels])]
        models = []
        for layer in self.layers:
            decay, peak = _fitted(layer.weights)
            head.append(bytes([layer.shift, decay, peak]))
            head += [varint.encode(varint.zigzag(int(bias))) for bias in layer.bias]
            models.append((layer.weights.reshape(-1) + MOST_WEIGHT, table(decay, peak)))
        coder = _ans().AnsCoder()
        for symbols, probabilities in reversed(models):
            coder.encode_reverse(symbols.astype(np.int32), _model(probabilities))
        coded: bytes = coder.get_compressed().astype("<u4").tobytes()
        return b"".join(head) + coded

    @classmethod
    def from_bytes(cls, data: bytes) -> Filter:
        """Raises BadStream for whatever `to_bytes` cannot have written."""
        fields = Fields(data)
        channels = fields.take(1)[0]
        if not 1 <= channels <= MOST_CHANNELS:
            raise BadStream(f"the stream's filter is damaged: it has {channels} channels")
        heads = [_head(fields, outputs) for _, outputs in shapes(channels)]
        rest = data[len(data) - fields.left():]
        if len(rest) % 4 or rest[-4:] == bytes(4):  # the coder refuses an empty last word in its own words
            raise BadStream("the stream's filter is damaged: its weights are no words that a coder wrote")
        coder = _ans().AnsCoder(np.frombuffer(rest, "<u4").astype(np.uint32))
        layers = []
        for (inputs, outputs), (shift, probabilities, bias) in zip(shapes(channels), heads, strict=True):
            symbols = coder.decode(_model(probabilities), inputs * outputs * 9)
            weights = np.asarray(symbols, np.int32).reshape(outputs, inputs, 3, 3) - MOST_WEIGHT
            layers.append(Layer(weights, bias, shift))
        if not coder.is_empty():
            raise BadStream("the stream's filter is damaged: its weights do not end where its bytes do")
        return cls(tuple(layers))


def network(filter_: Filter) -> Any:
    """The torch module: (1, 6, rows + 2·HALO, columns + 2·HALO) centred samples → (1, 6, rows, columns) to add."""
    torch: Any = import_module("torch")

    class Network(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weights = [torch.from_numpy(layer.weights.astype(np.float32)).contiguous(
                memory_format=torch.channels_last) for layer in filter_.layers]
            self.offsets = [torch.from_numpy(layer.offsets.astype(np.float32)) for layer in filter_.layers]

        def forward(self, x: Any) -> Any:
            torch.backends.nnpack.set_flags(False)  # its convolutions go by transforms, which are not exact
            last = len(self.weights) - 1
            for place, (weights, offsets) in enumerate(zip(self.weights, self.offsets, strict=True)):
                x = torch.nn.functional.conv2d(x, weights, offsets)
                x = x.mul_(2.0 ** -filter_.layers[place].shift).floor_()
                x = x.clamp_(-TOP, TOP) if place == last else x.clamp_(0, TOP)
            return x

    return Network().eval()


def restored(module: Any, planes: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Six centred planes (6, rows, columns) through the network and added up, cut to the range of the samples."""
    torch: Any = import_module("torch")
    padded = np.pad(planes, ((0, 0), (HALO, HALO), (HALO, HALO)), mode="edge")
    out = np.empty_like(planes)
    rows = planes.shape[1]
    with torch.inference_mode():
        for top in range(0, rows, _STRIP_ROWS):
            bottom = min(top + _STRIP_ROWS, rows)
            strip = torch.from_numpy(np.ascontiguousarray(padded[:, top:bottom + 2 * HALO])).float()[None]
            change = module(strip.contiguous(memory_format=torch.channels_last))[0].to(torch.int16).numpy()
            out[:, top:bottom] = np.clip(planes[:, top:bottom] + change, -MIDDLE, TOP - MIDDLE)
    return out


def to_half(planes: tuple[npt.NDArray[Any], ...]) -> npt.NDArray[np.int16]:
    """10 bit 4:2:0 planes → (6, rows, columns) of half size, centred; the last row or column of an odd luma repeats."""
    luma, *chroma = (plane.astype(np.int16) - MIDDLE for plane in planes)
    luma = np.pad(luma, ((0, luma.shape[0] % 2), (0, luma.shape[1] % 2)), mode="edge")
    return np.stack([luma[row::2, column::2] for row in (0, 1) for column in (0, 1)] + chroma)


def from_half(half: npt.NDArray[np.int16], rows: int, columns: int) -> tuple[npt.NDArray[np.uint16], ...]:
    """What `to_half` took apart; `rows` and `columns` are luma's."""
    luma = np.empty((half.shape[1] * 2, half.shape[2] * 2), np.int16)
    for place, plane in enumerate(half[:4]):
        luma[place // 2::2, place % 2::2] = plane
    return tuple((plane + MIDDLE).astype(np.uint16) for plane in (luma[:rows, :columns], half[4], half[5]))


def table(decay: int, peak: int) -> npt.NDArray[np.float32]:
    """Weights' probabilities, not normalised: whole numbers under 2²⁴ that fall by decay/256 from ±1 on, zero's own."""
    side = [_TABLE_TOP]
    while len(side) < MOST_WEIGHT:
        side.append(max(1, side[-1] * decay // _ROUGHEST_DECAY))
    zero = max(1, _TABLE_TOP * (peak + 1) // 32)
    return np.array([*reversed(side), zero, *side], np.float32)


def _fitted(weights: Whole) -> tuple[int, int]:
    """The decay and peak that code these weights in the fewest bits."""
    counts = np.bincount(weights.reshape(-1) + MOST_WEIGHT, minlength=2 * MOST_WEIGHT + 1)
    tables, bits = _every_table()
    return tables[int(np.argmin(bits @ counts))]


@lru_cache(maxsize=1)
def _every_table() -> tuple[list[tuple[int, int]], npt.NDArray[np.float64]]:
    """The decays and peaks that are tried, and the bits that each weight takes with them."""
    tried = [(decay, peak) for decay in range(8, 256, 8) for peak in (*range(0, 64, 4), 95, 127, 255)]
    probabilities = np.stack([table(*shape) for shape in tried]).astype(np.float64)
    return tried, -np.log2(probabilities / probabilities.sum(axis=1, keepdims=True))


def _head(fields: Fields, outputs: int) -> tuple[int, npt.NDArray[np.float32], Whole]:
    shift, decay, peak = fields.take(3)
    bias = [varint.unzigzag(fields.number()) for _ in range(outputs)]
    if shift > MOST_SHIFT or any(abs(value) > MOST_BIAS for value in bias):
        raise BadStream("the stream's filter is damaged: a shift or a bias is out of bounds")
    return shift, table(decay, peak), np.array(bias, np.int32)


def shapes(channels: int) -> list[tuple[int, int]]:
    """Planes in and out of each layer."""
    sides = [PLANES, *[channels] * (LAYERS - 1), PLANES]
    return list(pairwise(sides))


def _model(probabilities: npt.NDArray[np.float32]) -> Any:
    return import_module("constriction").stream.model.Categorical(probabilities, perfect=False)


def _ans() -> Any:
    return import_module("constriction").stream.stack
