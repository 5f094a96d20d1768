"""What the `classic` family hands to its encoders: the source's frames in the size, chroma and depth of the coding.

The way there mirrors the decoder's way back (`decoder.classic.to_source`): each plane is scaled by itself, in whole
numbers. Sides that an encoder refuses, odd or under `LEAST_SIDE`, are padded by repeating the edge; the decoder cuts
the pad off again.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import msgspec
import numpy as np

from gpu_workers.codec.decoder.classic import Coding
from gpu_workers.codec.decoder.resample import resize, to_depth
from gpu_workers.codec.families.arguments import CODECS
from gpu_workers.codec.frames import Frame, PixelFormat, Plane, VideoInfo
from lab.space import Value

LEAST_SIDE = 64  # x265 overruns its memory at 34x30, and VVenC refuses sides under 32
SCALES: Mapping[str, Fraction] = {"full": Fraction(1), "2/3": Fraction(2, 3), "1/2": Fraction(1, 2)}


def coding_for(params: Mapping[str, Value], video: VideoInfo) -> Coding:
    """How `video` is coded under `params`: scaled down only where the result is large enough to be coded unpadded."""
    encoder = str(params["encoder"])
    depth = int(params.get("bit_depth", 10))
    width, height = (_scaled(side, SCALES[str(params["scale"])]) for side in (video.width, video.height))
    if min(width, height) < LEAST_SIDE:
        width, height = video.width, video.height
    return Coding(codec=CODECS[encoder], width=width, height=height, pix_fmt=_pix_fmt(encoder, depth, video))


def coded_layout(coding: Coding, video: VideoInfo) -> VideoInfo:
    """The layout of the pictures that the encoder sees: the content, padded to what it takes."""
    width, height = (max(LEAST_SIDE, side + side % 2) for side in (coding.width, coding.height))
    return msgspec.structs.replace(video, width=width, height=height, pix_fmt=coding.pix_fmt)


def to_coded(frame: Frame, video: VideoInfo, coding: Coding) -> Frame:
    """One source frame as the encoder sees it."""
    coded = coded_layout(coding, video)
    content = msgspec.structs.replace(coded, width=coding.width, height=coding.height)
    planes: list[Plane] = []
    for place, (inner, outer) in enumerate(zip(content.plane_shapes, coded.plane_shapes, strict=True)):
        if place < len(frame.planes):
            planes.append(_padded(_converted(frame.planes[place], inner, video.bit_depth, coded.bit_depth), outer))
        else:  # the source is grey and the encoder wants colour
            planes.append(np.full(outer, 1 << (coded.bit_depth - 1), coded.dtype))
    return Frame(tuple(planes))


def _scaled(side: int, scale: Fraction) -> int:
    return side if scale == 1 else 2 * max(1, round(side * scale / 2))


def _pix_fmt(encoder: str, depth: int, video: VideoInfo) -> PixelFormat:
    chroma = video.pix_fmt.removesuffix("10le") if encoder == "x265" else "yuv420p"
    return cast(PixelFormat, chroma + ("10le" if depth == 10 else ""))


def _converted(plane: Plane, shape: tuple[int, int], source_bits: int, coded_bits: int) -> Plane:
    deeper = max(source_bits, coded_bits)
    return to_depth(resize(to_depth(plane, source_bits, deeper), shape, deeper), deeper, coded_bits)


def _padded(plane: Plane, shape: tuple[int, int]) -> Plane:
    if plane.shape == shape:
        return plane
    rows, columns = shape[0] - plane.shape[0], shape[1] - plane.shape[1]
    padded: Plane = np.pad(plane, ((0, rows), (0, columns)), mode="edge")
    return padded
