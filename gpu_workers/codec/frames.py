"""What a video is to the codec track: its layout (`VideoInfo`), a picture (`Frame`) and a stream of pictures.

A frame is its planes as they lie in the file, 8 or 10 bit, so nothing is converted behind anyone's back. Planar
bytes are the planes one after another, row by row, without padding, 10 bit as little-endian 16 bit words: what
ffmpeg calls rawvideo. `RawReader` takes exactly the bytes it expects from a pipe, or says what was wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from lab.errors import AetherError

PixelFormat = Literal["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le"]
Matrix = Literal["bt709", "bt601", "bt2020", "unspecified"]
Plane = npt.NDArray[np.unsignedinteger[Any]]  # uint8, or uint16 for 10 bit

_CHROMA_SHIFTS: dict[str, tuple[int, int] | None] = {  # log2 of the subsampling, (down, across)
    "yuv420p": (1, 1),
    "yuv422p": (0, 1),
    "yuv444p": (0, 0),
    "gray": None,
}


class VideoInfo(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The layout of a video: all that turns its planar bytes back into pictures."""

    width: int
    height: int
    fps_num: int
    fps_den: int
    frames: int
    pix_fmt: PixelFormat
    full_range: bool = False
    matrix: Matrix = "unspecified"

    @property
    def bit_depth(self) -> int:
        return 10 if self.pix_fmt.endswith("10le") else 8

    @property
    def fps(self) -> Fraction:
        return Fraction(self.fps_num, self.fps_den)

    @property
    def duration_s(self) -> float:
        return float(self.frames / self.fps)

    @cached_property
    def plane_shapes(self) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of each plane; an odd size rounds its chroma up."""
        luma = (self.height, self.width)
        shifts = _CHROMA_SHIFTS[self.pix_fmt.removesuffix("10le")]
        if shifts is None:
            return (luma,)
        chroma = (-(-self.height >> shifts[0]), -(-self.width >> shifts[1]))
        return (luma, chroma, chroma)

    @cached_property
    def frame_bytes(self) -> int:
        return sum(rows * columns for rows, columns in self.plane_shapes) * self.dtype.itemsize

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        return np.dtype(np.uint8 if self.bit_depth == 8 else np.uint16)


@dataclass(frozen=True)
class Frame:
    """One picture: Y, or Y, U and V, each a (rows, columns) array of uint8, or of uint16 for 10 bit."""

    planes: tuple[Plane, ...]

    def to_bytes(self) -> bytes:
        return b"".join(plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes() for plane in self.planes)

    @classmethod
    def from_bytes(cls, buffer: bytes | bytearray | memoryview, info: VideoInfo) -> Frame:
        """The frame whose planar bytes these are; its planes are views on the buffer, not copies."""
        if len(buffer) != info.frame_bytes:
            raise BadFrames(f"a frame has {info.frame_bytes} bytes here, not {len(buffer)}")
        planes, offset = [], 0
        for shape in info.plane_shapes:
            samples = shape[0] * shape[1]
            plane = np.frombuffer(buffer, info.dtype.newbyteorder("<"), samples, offset)
            planes.append(plane.astype(info.dtype, copy=False).reshape(shape))
            offset += samples * info.dtype.itemsize
        return cls(tuple(planes))


class Frames(Protocol):
    """Pictures in display order: re-iterable, countable, and each to be had by its index."""

    @property
    def info(self) -> VideoInfo: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Frame: ...
    def __iter__(self) -> Iterator[Frame]: ...


class BadFrames(AetherError):
    """A stream of frames had not the bytes, the size or the number of frames that were promised."""


class ByteSource(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


class RawReader:
    """The frames of a planar byte stream, once. After the last of `info.frames` the stream must end.

    Raises BadFrames where it ends early or goes on; holds one frame.
    """

    def __init__(self, fileobj: ByteSource, info: VideoInfo) -> None:
        self.info = info
        self._file = fileobj

    def __len__(self) -> int:
        return self.info.frames

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.info.frames):
            buffer = bytearray(self.info.frame_bytes)
            got = _fill(self._file, memoryview(buffer))
            if got < len(buffer):
                raise BadFrames(
                    f"the frames ended after {index} of {self.info.frames}"
                    f" ({got} of {len(buffer)} bytes of frame {index} came)"
                )
            yield Frame.from_bytes(buffer, self.info)
        if _fill(self._file, memoryview(bytearray(1))):
            raise BadFrames(f"more bytes came than the {self.info.frames} frames of {self.info.frame_bytes} bytes")


def _fill(source: ByteSource, buffer: memoryview) -> int:
    """Fill the buffer as far as the source goes; a pipe gives less than asked for."""
    filled = 0
    while filled < len(buffer):
        count = source.readinto(buffer[filled:])
        if not count:
            break
        filled += count
    return filled


def check_layout(frame: Frame, info: VideoInfo) -> Frame:
    """The frame itself, if its planes are those of `info`; else BadFrames (never a resize). What agents give is no
    frame at all, now and then."""
    if not isinstance(frame, Frame) or not all(isinstance(plane, np.ndarray) for plane in frame.planes):
        raise BadFrames(f"{given(frame)}, and not a Frame of numpy planes for each picture (docs/two-agents.md)")
    shapes = tuple(plane.shape for plane in frame.planes)
    if shapes != info.plane_shapes or any(plane.dtype != info.dtype for plane in frame.planes):
        dtypes = " and ".join(sorted({str(plane.dtype) for plane in frame.planes})) or "of nothing"
        raise BadFrames(f"a frame with planes {shapes} {dtypes} in a video of {describe(info)}")
    return frame


def given(value: object) -> str:
    """What stands in the place of something else, for messages: None, or the name of its type."""
    return "None" if value is None else f"a {type(value).__name__}"


def check_range(frame: Frame, info: VideoInfo) -> Frame:
    """The frame itself, if no sample has more bits than `info` says; else BadFrames. Measures rely on it."""
    if info.bit_depth != 8 and max(int(plane.max()) for plane in frame.planes) >> info.bit_depth:
        raise BadFrames(f"a frame with samples above {(1 << info.bit_depth) - 1} in a video of {describe(info)}")
    return frame


def describe(info: VideoInfo) -> str:
    """One short line for messages: 1920×1080 yuv420p, 30 fps, limited range."""
    rate = f"{float(info.fps):.6g} fps"
    return f"{info.width}×{info.height} {info.pix_fmt}, {rate}, {'full' if info.full_range else 'limited'} range"
