"""How the transform `dct16` starts: the 16×16 DCT of luma and the 8×8 DCT of chroma, with steps that suit the price.

A random start needs hours for what this has before the first step.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_workers.codec.decoder.hyperprior_model import HALF, PLANES


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
