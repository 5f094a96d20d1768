"""Frames of any layout as the planes that the networks of `hyperprior` see, and back.

The networks see six planes of half the size: luma's four phases, U and V, with black at 0 and white at 1, chroma around
0. So every format and depth is one to them: chroma of 4:4:4 and 4:2:2 is averaged on the way in and interpolated on
the way back, grey has none. The way back is whole-number arithmetic on sixteenths of a code value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.decoder.hyperprior_model import HALF, PLANES
from gpu_workers.codec.frames import Frame, Plane, VideoInfo

FINE = 16  # parts of a code value
Real = npt.NDArray[np.float32]
Fine = npt.NDArray[np.int32]


def half_size(video: VideoInfo) -> tuple[int, int]:
    return -(-video.height // 2), -(-video.width // 2)


def levels(video: VideoInfo) -> tuple[int, int, int]:
    """Black, white less black, and the greatest distance of chroma from its middle times two, in code values."""
    more = 1 << video.bit_depth - 8
    return (0, 256 * more - 1, 256 * more - 1) if video.full_range else (16 * more, 219 * more, 224 * more)


def to_planes(frame: Frame, video: VideoInfo) -> Real:
    """(6, rows, columns) of half size, for the networks."""
    black, luma_range, chroma_range = levels(video)
    rows, columns = half_size(video)
    out = np.empty((PLANES, rows, columns), np.float32)
    luma = _padded(frame.planes[0], 2 * rows, 2 * columns)
    for place in range(4):
        out[place] = (luma[place // 2::2, place % 2::2].astype(np.float32) - black) / luma_range
    for place in range(4, PLANES):
        out[place] = _chroma_in(frame.planes[place - 3], rows, columns, video) / chroma_range if frame.planes[1:] else 0
    return out


def to_fine(planes: Real, video: VideoInfo) -> Fine:
    """The networks' numbers as sixteenths of a code value."""
    black, luma_range, chroma_range = levels(video)
    middle = 1 << video.bit_depth - 1
    scale = np.array([luma_range] * 4 + [chroma_range] * 2, np.float32).reshape(-1, 1, 1) * FINE
    offset = np.array([black] * 4 + [middle] * 2, np.float32).reshape(-1, 1, 1) * FINE
    return np.asarray(np.rint(planes * scale + offset), np.int32)


def to_frame(fine: Fine, video: VideoInfo) -> Frame:
    """The frame of `video`'s layout from six planes in sixteenths of a code value."""
    rows, columns = fine.shape[1:]
    luma = np.empty((2 * rows, 2 * columns), video.dtype)
    for place in range(4):
        luma[place // 2::2, place % 2::2] = _code(fine[place], video)
    planes = [luma[:video.height, :video.width]]
    for place, shape in enumerate(video.plane_shapes[1:], 4):
        planes.append(_code(_chroma_out(fine[place], shape, video), video))
    return Frame(tuple(planes))


def padded_planes(planes: Real) -> Real:
    """Edges repeated to whole blocks."""
    rows, columns = (-(-side // HALF) * HALF for side in planes.shape[1:])
    return np.stack([_padded(plane, rows, columns) for plane in planes])


def _code(fine: Fine, video: VideoInfo) -> Plane:
    return np.asarray(np.clip((fine + FINE // 2) // FINE, 0, (1 << video.bit_depth) - 1), video.dtype)


def _chroma_in(plane: Plane, rows: int, columns: int, video: VideoInfo) -> Real:
    down, across = (-(-full // plane_side) for full, plane_side in zip((video.height, video.width), plane.shape,
                                                                       strict=True))
    values = _padded(plane, rows * (2 // down), columns * (2 // across)).astype(np.float32)
    values -= 1 << video.bit_depth - 1
    return np.asarray(values.reshape(rows, 2 // down, columns, 2 // across).mean(axis=(1, 3)), np.float32)


def _chroma_out(plane: Fine, shape: tuple[int, int], video: VideoInfo) -> Fine:
    for axis in (0, 1):
        if shape[axis] > plane.shape[axis]:
            plane = _doubled(plane, axis)
    return plane[:shape[0], :shape[1]]


def _doubled(plane: Fine, axis: int) -> Fine:
    """Twice the samples along `axis`, each three parts of the nearer and one of the farther neighbour."""
    plane = np.moveaxis(plane, axis, 0)
    around = np.concatenate((plane[:1], plane, plane[-1:]))
    out = np.empty((2 * plane.shape[0], *plane.shape[1:]), np.int32)
    out[0::2] = (3 * plane + around[:-2] + 2) >> 2
    out[1::2] = (3 * plane + around[2:] + 2) >> 2
    return np.moveaxis(out, 0, axis)


def _padded(plane: npt.NDArray[Any], rows: int, columns: int) -> npt.NDArray[Any]:
    return np.pad(plane, ((0, rows - plane.shape[0]), (0, columns - plane.shape[1])), mode="edge")
