"""Rounds latents to where they cost less than they lose, by the very tables that they will be coded with.

A latent may go to the whole number on zero's side where its squared error grows by less than the bits saved are worth.
What a bit is worth is the slope of a fine quantiser: an error of Δ²/12 falls to a quarter with every bit, so that one
is worth ln 2 / 6 of a squared step.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.decoder.entropy import Tables, Which, Whole
from gpu_workers.codec.decoder.hyperprior_planes import Real

WORTH = math.log(2) / 12  # squared steps a bit
_MOST = 64  # symbols to each side whose cost is looked at; beyond, a latent is just rounded


class Thrift:
    def __init__(self, tables: Tables, worth: float = WORTH) -> None:
        """For each table and magnitude, what the next magnitude costs more, in squared steps."""
        self._dearer = np.stack([_dearer(table.counts[-table.first:-1]) for table in tables]) * np.float32(worth)

    def rounded(self, latents: Real, which: Which) -> Whole:
        magnitude = np.abs(latents)
        low = np.floor(magnitude)
        above = magnitude - low
        near = np.minimum(low, _MOST - 1).astype(np.intp)
        dearer = np.where(low < _MOST, self._dearer[which, near], 0)
        up = np.square(1 - above) + dearer < np.square(above)
        return np.asarray(np.where(latents < 0, -1, 1) * (low + up), np.int32)


def _dearer(side: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    bits = -np.log2(side / (2 * side.sum() - side[0]))
    dearer = np.diff(bits)[:_MOST]
    return np.asarray(np.pad(dearer, (0, _MOST - len(dearer)), mode="edge"), np.float32)
