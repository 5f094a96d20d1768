"""From a PyAV frame to ours: which layout a file is delivered in, and the planes without their padding.

The eight layouts of `VideoInfo` pass through untouched; every other one is converted to the smallest layout that
loses no resolution of chroma (RGB to yuv444p BT.709 limited range, more than 10 bit to 10). A rotation that the
file asks for is carried out on the planes, exactly. (A mirrored display matrix is not undone: no camera writes it.)
"""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from gpu_workers.codec.frames import Frame, Matrix, PixelFormat, Plane

_FULL_RANGE_NAMES = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}
_CHROMA_LAYOUTS = {(128, 128): "yuv420p", (128, 256): "yuv422p"}  # chroma samples for 256 of luma, across and down
_MATRICES: dict[int, Matrix] = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}  # ITU-T H.273
_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG; 0 is unspecified and 1 limited, which are the same thing for YUV


def layout_of(fmt: av.VideoFormat, quarter_turn: bool) -> PixelFormat:
    """The layout that frames of this format are delivered in."""
    samples = [part for part in fmt.components if not part.is_alpha]
    if len(samples) == 1 and not fmt.has_palette:
        name = "gray"
    elif _is_rgb(fmt):
        name = "yuv444p"
    else:
        name = _CHROMA_LAYOUTS.get((fmt.chroma_width(256), fmt.chroma_height(256)), "yuv444p")
    if quarter_turn and name == "yuv422p":
        name = "yuv444p"  # 4:2:2 on its side would be 4:4:0
    return cast(PixelFormat, name + ("10le" if any(part.bits > 8 for part in samples) else ""))


def _is_rgb(fmt: av.VideoFormat) -> bool:
    return fmt.is_rgb or fmt.has_palette or fmt.is_bayer


def is_full_range(frame: av.VideoFrame) -> bool:
    if _is_rgb(frame.format):
        return False  # what we convert it to
    return frame.format.name in _FULL_RANGE_NAMES or frame.color_range == _FULL_RANGE


def matrix_of(frame: av.VideoFrame) -> Matrix:
    if _is_rgb(frame.format):
        return "bt709"
    return _MATRICES.get(frame.colorspace, "unspecified")


def is_native(frame: av.VideoFrame, layout: PixelFormat) -> bool:
    """Whether the frame's planes are delivered as they are."""
    return _FULL_RANGE_NAMES.get(frame.format.name, frame.format.name) == layout


def to_frame(raw: av.VideoFrame, layout: PixelFormat) -> Frame:
    """The planes of a decoded frame in the given layout, upright."""
    turns = raw.rotation // 90 % 4
    if not is_native(raw, layout):
        raw = _converted(raw, layout)
    return Frame(tuple(_upright(_plane(plane, layout.endswith("10le")), turns) for plane in raw.planes))


def _converted(raw: av.VideoFrame, layout: PixelFormat) -> av.VideoFrame:
    full = ColorRange.JPEG if is_full_range(raw) else ColorRange.MPEG
    if _is_rgb(raw.format):
        return VideoReformatter().reformat(
            raw, format=layout, dst_colorspace=Colorspace.ITU709, interpolation=_SCALING,
            src_color_range=ColorRange.JPEG, dst_color_range=full,
        )  # fmt: skip
    return VideoReformatter().reformat(
        raw, format=layout, interpolation=_SCALING, src_color_range=full, dst_color_range=full
    )


def _plane(plane: Any, wide: bool) -> Plane:
    """A copy without the row padding: the decoder uses its buffers again."""
    dtype = np.dtype("<u2" if wide else np.uint8)
    rows = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
    return np.array(rows[:, : plane.width], dtype=np.uint16 if wide else np.uint8, order="C")


def _upright(plane: Plane, quarter_turns: int) -> Plane:
    return np.ascontiguousarray(np.rot90(plane, quarter_turns)) if quarter_turns else plane
