"""Second implementations of the structural metrics, in numpy, written from their definitions, for tests alone.

`ssim` is ffmpeg's: sums over 8×8 windows on a grid of 4 pixels, unweighted, constants rounded to integers. `ms_ssim` is
that of libvmaf (after the iqa library): five scales, 11×11 Gaussian windows of σ 1.5 without padding, halved after a
9×9 low pass. Both take luma planes and give one number.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

Luma = npt.NDArray[np.unsignedinteger]

_SCALE_WEIGHTS = ((0.0448, 0.0448), (0.2856, 0.2856), (0.3001, 0.3001), (0.2363, 0.2363), (0.1333, 0.1333))
_LOW_PASS = (0.026727, -0.016828, -0.078201, 0.266846, 0.602914, 0.266846, -0.078201, -0.016828, 0.026727)


def ssim(reference: Luma, distorted: Luma, bit_depth: int) -> float:
    a, b = reference.astype(np.int64), distorted.astype(np.int64)
    peak = (1 << bit_depth) - 1
    c1, c2 = int(0.01**2 * peak**2 * 64 + 0.5), int(0.03**2 * peak**2 * 64 * 63 + 0.5)
    sum_a, sum_b, squares, products = (_windows(plane) for plane in (a, b, a * a + b * b, a * b))
    variances = squares * 64 - sum_a**2 - sum_b**2
    covariance = products * 64 - sum_a * sum_b
    numerator = (2.0 * sum_a * sum_b + c1) * (2.0 * covariance + c2)
    return float(np.mean(numerator / ((1.0 * sum_a**2 + sum_b**2 + c1) * (1.0 * variances + c2))))


def _windows(plane: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sums over 8×8 windows on a 4-pixel grid; what does not fill a 4×4 block is left out."""
    rows, columns = plane.shape[0] // 4, plane.shape[1] // 4
    blocks = plane[: rows * 4, : columns * 4].reshape(rows, 4, columns, 4).sum(axis=(1, 3))
    return blocks[:-1, :-1] + blocks[1:, :-1] + blocks[:-1, 1:] + blocks[1:, 1:]


def ms_ssim(reference: Luma, distorted: Luma, bit_depth: int) -> float:
    scale = 1 << (bit_depth - 8)
    a, b = reference.astype(np.float64) / scale, distorted.astype(np.float64) / scale
    product = 1.0
    for level, (contrast_weight, structure_weight) in enumerate(_SCALE_WEIGHTS):
        luminance, contrast, structure = _parts(a, b)
        product *= abs(contrast) ** contrast_weight * abs(structure) ** structure_weight
        if level == len(_SCALE_WEIGHTS) - 1:
            product *= abs(luminance) ** _SCALE_WEIGHTS[level][0]
        a, b = _halved(a), _halved(b)
    return float(product)


def _parts(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def blur(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(correlate1d(correlate1d(x, taps, 0), taps, 1)[5:-5, 5:-5])

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = np.maximum(blur(a * a) - mean_a**2, 0), np.maximum(blur(b * b) - mean_b**2, 0)
    covariance = blur(a * b) - mean_a * mean_b
    deviations = np.sqrt(var_a * var_b)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    contrast = (2 * deviations + c2) / (var_a + var_b + c2)
    structure = (covariance + c2 / 2) / (deviations + c2 / 2)
    return float(luminance.mean()), float(contrast.mean()), float(structure.mean())


def _halved(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    taps = np.asarray(_LOW_PASS)
    return np.asarray(correlate1d(correlate1d(x, taps, 0, mode="reflect"), taps, 1, mode="reflect")[::2, ::2])
