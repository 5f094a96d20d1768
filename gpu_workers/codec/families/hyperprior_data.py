"""The footage that `hyperprior` learns from: a pool of frames in memory, and crops of it as a function of (seed, step).

A few frames a clip, spread over its length, since neighbours teach the same; for models that code several frames
together, runs of so many. A step's crops are flipped, and some are taken at half size, so that one clip teaches more
than one scale. Nothing else decides a crop: after an interruption the same ones come.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.contract import Frames
from gpu_workers.codec.decoder.hyperprior_model import HALF, PLANES
from gpu_workers.codec.decoder.hyperprior_planes import padded_planes, to_planes

MOST_RUNS = 24  # of a clip
MOST_SAMPLES = 1 << 28  # of half precision, all clips together: half a gigabyte
_SMALLER_SHARE = 0.25
Run = npt.NDArray[np.float16]  # (frames, 6, rows, columns)


class Pool:
    """Runs of frames as the networks see them. `crop` is in luma samples."""

    def __init__(self, clips: Sequence[Frames], frames: int, crop: int) -> None:
        self._side = crop // 2
        share = MOST_SAMPLES // len(clips)
        self._runs = [[_widened(run, self._side) for run in _runs(clip, frames, share)] for clip in clips]

    def crops(self, seed: int, step: int, count: int) -> npt.NDArray[np.float32]:
        """(count, frames, 6, side, side): each from any clip, alike often."""
        rng = np.random.default_rng([seed, step])
        return np.stack([self._crop(rng) for _ in range(count)])

    def _crop(self, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        runs = self._runs[rng.integers(len(self._runs))]
        run = runs[rng.integers(len(runs))]
        smaller = rng.random() < _SMALLER_SHARE and min(run.shape[2:]) >= 2 * self._side
        side = self._side * (2 if smaller else 1)
        top, left = (int(rng.integers(room - side + 1)) for room in run.shape[2:])
        crop = run[:, :, top:top + side, left:left + side].astype(np.float32)
        return _recoloured(_flipped(halved(crop) if smaller else crop, rng), rng)


def halved(planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The same picture at half the size. Luma's phases become one plane and are its four phases again."""
    frames, _, rows, columns = planes.shape
    small = np.empty((frames, PLANES, rows // 2, columns // 2), np.float32)
    luma = planes[:, :4].mean(axis=1)
    for place in range(4):
        small[:, place] = luma[:, place // 2::2, place % 2::2]
    small[:, 4:] = planes[:, 4:].reshape(frames, 2, rows // 2, 2, columns // 2, 2).mean(axis=(3, 5))
    return small


def _flipped(planes: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Upside down, mirrored or neither, with luma's phases where they then belong."""
    down, across = rng.integers(2, size=2)
    order = [place ^ (2 * int(down) + int(across)) for place in range(4)]
    turned = planes[:, [*order, 4, 5], ::-1 if down else 1, ::-1 if across else 1]
    return np.ascontiguousarray(turned)


def _recoloured(planes: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Half of all crops in other colours and contrast: a few clips hold few skies and skins."""
    if rng.random() < 0.5:
        return planes
    contrast, first, second = rng.uniform(0.6, 1.2), *rng.choice((-1.0, 1.0), 2)
    signs = np.array([1, 1, 1, 1, first, second], np.float32) * contrast
    order = [0, 1, 2, 3, *rng.permutation((4, 5))]
    return np.ascontiguousarray(planes[:, order] * signs.reshape(-1, 1, 1).astype(np.float32))


def _runs(clip: Frames, frames: int, share: int) -> list[Run]:
    video = clip.info
    samples = PLANES * -(-video.height // 2) * -(-video.width // 2) * frames
    count = max(1, min(MOST_RUNS, len(clip) // frames, share // samples))
    starts = np.linspace(0, max(0, len(clip) - frames), count).round().astype(int)
    return [np.stack([padded_planes(to_planes(clip[min(start + i, len(clip) - 1)], video)) for i in range(frames)]
                     ).astype(np.float16) for start in starts.tolist()]


def _widened(run: Run, side: int) -> Run:
    """At least one crop large."""
    rows, columns = (max(0, -(-side // HALF) * HALF - room) for room in run.shape[2:])
    return np.pad(run, ((0, 0), (0, 0), (0, rows), (0, columns)), mode="edge") if rows or columns else run
