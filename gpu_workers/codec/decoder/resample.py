"""Scaling and rounding of planes in whole numbers, so that every machine gives the same samples for ever.

Lanczos with three lobes (widened when it shrinks), each plane by itself from edge to edge, edges repeated. A plane
that was shrunk by this and is enlarged by it again therefore lies where it lay, whatever the siting of its chroma.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor, pi, sin

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.frames import Plane

_LOBES = 3
_WEIGHT_BITS = 12  # weights sum to 2¹²
_KEPT_BITS = 5  # precision kept between the two passes: 10 bit + 5, times 2¹², and the lobes' overshoot, fit in 31
_STRIP_ROWS = 32  # so that a strip of a wide frame stays in the processor's cache
Ints = npt.NDArray[np.int32]


def resize(plane: Plane, shape: tuple[int, int], bit_depth: int) -> Plane:
    """`plane` at `shape` (rows, columns), clipped to 0 … 2^bit_depth − 1."""
    if plane.shape == shape:
        return plane
    tall: Ints = _filter_rows(plane.astype(np.int32), shape[0])
    tall = _shift(tall, _WEIGHT_BITS - _KEPT_BITS)
    wide = np.ascontiguousarray(_filter_rows(np.ascontiguousarray(tall.T), shape[1]).T)
    wide = _shift(wide, _WEIGHT_BITS + _KEPT_BITS)
    return _as_samples(np.clip(wide, 0, (1 << bit_depth) - 1), bit_depth)


def to_depth(plane: Plane, source_bits: int, target_bits: int) -> Plane:
    """The same picture in another bit depth: a shift up, or a rounded shift down."""
    if target_bits > source_bits:
        return np.left_shift(plane, target_bits - source_bits, dtype=np.uint16)
    if target_bits == source_bits:
        return plane
    rounded = _shift(plane.astype(np.int32), source_bits - target_bits)
    return _as_samples(np.minimum(rounded, (1 << target_bits) - 1), target_bits)


def _filter_rows(image: Ints, rows: int) -> Ints:
    places, weights = _taps(image.shape[0], rows)
    out = np.zeros((rows, image.shape[1]), np.int32)
    term = np.empty((_STRIP_ROWS, image.shape[1]), np.int32)
    for top in range(0, rows, _STRIP_ROWS):
        strip = out[top : top + _STRIP_ROWS]
        part = term[: len(strip)]
        for place, weight in zip(places, weights, strict=True):
            np.take(image, place[top : top + _STRIP_ROWS], axis=0, out=part, mode="clip")
            part *= weight[top : top + _STRIP_ROWS, None]
            strip += part
    return out


@lru_cache(maxsize=64)
def _taps(source: int, target: int) -> tuple[Ints, Ints]:
    """For each tap, the source row and the weight of each target row; the weights of a row sum to 2¹² exactly."""
    ratio = source / target
    stretch = max(1.0, ratio)
    count = 2 * ceil(_LOBES * stretch) + 1
    places = np.zeros((count, target), np.int32)
    weights = np.zeros((count, target), np.int32)
    for row in range(target):
        centre = (row + 0.5) * ratio - 0.5
        first = floor(centre) - count // 2
        raw = [_lanczos((first + tap - centre) / stretch) for tap in range(count)]
        whole = [round(value / sum(raw) * (1 << _WEIGHT_BITS)) for value in raw]
        whole[count // 2] += (1 << _WEIGHT_BITS) - sum(whole)
        places[:, row] = np.clip(np.arange(first, first + count), 0, source - 1)
        weights[:, row] = whole
    used = weights.any(axis=1)
    return places[used], weights[used]


def _lanczos(x: float) -> float:
    if abs(x) >= _LOBES:
        return 0.0
    return 1.0 if x == 0 else _LOBES * sin(pi * x) * sin(pi * x / _LOBES) / (pi * x) ** 2


def _as_samples(values: Ints, bit_depth: int) -> Plane:
    return values.astype(np.uint8) if bit_depth == 8 else values.astype(np.uint16)


def _shift(values: Ints, bits: int) -> Ints:
    """Divided by 2^bits, rounded half up."""
    result: Ints = (values + (1 << bits >> 1)) >> bits
    return result
