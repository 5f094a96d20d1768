"""PSNR in exact integer arithmetic: squared errors are summed as integers, so every machine gives the same decibels.

Definition: 10 log10(peak² / MSE) with peak 2^bits − 1, the convention of ffmpeg's psnr filter. Identical planes have no
finite PSNR; here every value is capped at 100 dB (ffmpeg says inf), so that means stay finite.
"""

from __future__ import annotations

import math

import numpy as np

from gpu_workers.codec.frames import Frame, Plane

CAP_DB = 100.0


def mse(reference: Plane, distorted: Plane) -> float:
    """Mean squared error of two planes of one shape, from an exact integer sum."""
    if reference.dtype == np.uint8:
        # A square of 8 bit differences fits 16 bits whatever the sign, and a row's sum of them 32: all without casts.
        error = np.subtract(reference, distorted, dtype=np.int16).view(np.uint16)
        rows = np.multiply(error, error, out=error).sum(axis=1, dtype=np.uint32)
    else:
        # Likewise: a square of 16 bit differences fits 32 bits without a sign, whatever stands in unused bits.
        wide = np.subtract(reference, distorted, dtype=np.int32).view(np.uint32)
        rows = np.multiply(wide, wide, out=wide).sum(axis=1, dtype=np.int64)
    return int(rows.sum(dtype=np.int64)) / reference.size


def psnr_db(mse: float, bit_depth: int) -> float:
    peak = (1 << bit_depth) - 1
    return CAP_DB if mse == 0 else min(CAP_DB, 10 * math.log10(peak * peak / mse))


def frame_mse(reference: Frame, distorted: Frame) -> tuple[float, ...]:
    """MSE of each plane: (Y,) or (Y, U, V)."""
    return tuple(mse(a, b) for a, b in zip(reference.planes, distorted.planes, strict=True))


def yuv611_db(y_db: float, u_db: float, v_db: float) -> float:
    """The weighting 6:1:1 of the JCT-VC common test conditions (JCTVC-H0012), which flatters: chroma is easy."""
    return (6 * y_db + u_db + v_db) / 8
