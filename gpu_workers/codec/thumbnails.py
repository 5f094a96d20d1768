"""Small pictures of single frames, for the report: WebP of at most 60 KB, the original beside what was decoded."""

from __future__ import annotations

from io import BytesIO

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from gpu_workers.codec.frames import Frame, VideoInfo

WIDTH = 640
MOST_BYTES = 60_000
_MATRICES = {"bt709": Colorspace.ITU709, "bt601": Colorspace.ITU601, "bt2020": Colorspace.BT2020}


def thumbnail(frame: Frame, info: VideoInfo) -> bytes:
    """WebP, at most 640 pixels wide, in the best quality that fits."""
    picture = to_rgb(frame, info)
    if picture.width > WIDTH:
        size = (WIDTH, max(1, round(picture.height * WIDTH / picture.width)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    for quality in (85, 70, 55, 40, 25, 10, 0):
        data = _webp(picture, quality)
        if len(data) <= MOST_BYTES:
            return data
    return _webp(picture.resize((max(1, picture.width // 2), max(1, picture.height // 2))), 10)


def to_rgb(frame: Frame, info: VideoInfo) -> Image.Image:
    """The frame as a screen shows it, by its own matrix and range."""
    raw = av.VideoFrame(info.width, info.height, info.pix_fmt)
    for plane, samples in zip(raw.planes, frame.planes, strict=True):
        padded = np.zeros((samples.shape[0], plane.line_size // samples.itemsize), samples.dtype)
        padded[:, :samples.shape[1]] = samples
        plane.update(padded.tobytes())
    source = ColorRange.JPEG if info.full_range else ColorRange.MPEG
    rgb = raw.reformat(format="rgb24", src_colorspace=_MATRICES.get(info.matrix, Colorspace.ITU709),
                       src_color_range=source, dst_color_range=ColorRange.JPEG)
    return Image.fromarray(rgb.to_ndarray())


def _webp(picture: Image.Image, quality: int) -> bytes:
    data = BytesIO()
    picture.save(data, "WEBP", quality=quality, method=4)
    return data.getvalue()
