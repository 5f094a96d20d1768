"""The decoding agent of the family `classic`: HEVC, AV1 and VVC streams, decoded in process by PyAV's decoders.

A CONFIG chunk says how the pictures were coded; each KEY or DELTA chunk is one access unit. The coded picture is cut
to its content, enlarged to the source's size where it was coded smaller, and rounded to the source's bit depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, cast

import av
import av.error
import msgspec
import numpy as np
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext

from gpu_workers.codec.contract import Chunk, DecodeInfo, Kind
from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.decoder.header import MAX_PIXELS
from gpu_workers.codec.decoder.resample import resize, to_depth
from gpu_workers.codec.frames import Frame, PixelFormat, Plane, VideoInfo
from gpu_workers.codec.pixels import to_frame

Codec = Literal["hevc", "av1", "vvc"]
MOST_ENLARGED = 4  # times a side; encoders here go down to a half
_MARGIN = 256  # samples a side that a coded picture may be larger than its content, for minimum sizes and whole blocks
DECODERS: dict[Codec, str] = {"hevc": "hevc", "av1": "libdav1d", "vvc": "vvc"}


class Coding(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How the pictures were coded. `width` and `height` are the coded picture's content; the coded picture may be
    larger, for an encoder's minimum or for even sides, and is cut to the top left. `extradata` are parameter sets."""

    codec: Codec
    width: int
    height: int
    pix_fmt: PixelFormat
    extradata: bytes = b""

    def to_bytes(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Coding:
        try:
            coding = msgspec.msgpack.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:  # the second for a text that is none
            raise BadStream(f"the stream does not say how it was coded: {error}") from None
        if min(coding.width, coding.height) < 1 or coding.width * coding.height > MAX_PIXELS:
            raise BadStream(f"the stream has no valid coded size: {coding.width}x{coding.height}")
        return coding

    def check(self, video: VideoInfo) -> None:
        """Raises BadStream unless a source of this size may have been coded so: no larger, and not much smaller. What
        is allocated for a frame is then bounded by pictures that are really there."""
        sides = ((self.width, video.width), (self.height, video.height))
        if not all(side <= source <= MOST_ENLARGED * side for side, source in sides):
            raise BadStream(f"the stream is damaged: no {video.width}x{video.height} source is coded at "
                            f"{self.width}x{self.height}")


def warm() -> None:
    """Load and open each decoder once, so that a timed decode does not pay for it."""
    for codec in DECODERS:
        _open(codec, b"", threads=1)


def decode(chunks: Iterable[Chunk], info: DecodeInfo, model: Path | None) -> Iterator[Frame]:
    """Frames of `info.video`'s layout, in display order. Raises BadStream where a decoder refuses its bytes."""
    coding: Coding | None = None
    decoder: VideoCodecContext | None = None
    for chunk in chunks:
        if chunk.kind is Kind.CONFIG:
            yield from _frames(decoder, None, coding, info.video)
            coding = Coding.from_bytes(chunk.data)
            coding.check(info.video)
            decoder = open_decoder(coding, info.threads)
        else:
            yield from _frames(decoder, chunk, coding, info.video)
    yield from _frames(decoder, None, coding, info.video)


def open_decoder(coding: Coding, threads: int) -> VideoCodecContext:
    """A decoder that refuses pictures much larger than those announced before it allocates any. Raises BadStream for
    parameter sets that it cannot take."""
    most_pixels = (coding.width + _MARGIN) * (coding.height + _MARGIN)
    try:
        return _open(coding.codec, coding.extradata, threads, most_pixels)
    except av.error.FFmpegError as error:
        raise _refused(coding.codec, error) from None


def _open(codec: Codec, extradata: bytes, threads: int, most_pixels: int = MAX_PIXELS) -> VideoCodecContext:
    context = cast(VideoCodecContext, VideoCodecContext.create(DECODERS[codec], "r"))
    context.options = {"max_pixels": str(most_pixels)}
    context.extradata = extradata or None
    context.thread_count = threads
    context.thread_type = "AUTO" if threads > 1 else "SLICE"
    context.open()
    return context


def _frames(
    decoder: VideoCodecContext | None, chunk: Chunk | None, coding: Coding | None, video: VideoInfo
) -> Iterator[Frame]:
    """The frames that one more access unit sets free, or all that are left where there is none."""
    if decoder is None or coding is None:
        if chunk is not None:
            raise BadStream("the stream is damaged: pictures come before it says how they were coded")
        return
    yield from (to_source(content, coding, video) for content in contents(decoder, chunk, coding))


def contents(decoder: VideoCodecContext, chunk: Chunk | None, coding: Coding) -> Iterator[Frame]:
    """The pictures in the coded size and depth that one more access unit sets free; all that are left for None."""
    try:
        for raw in decoder.decode(None if chunk is None else _packet(chunk.data)):
            yield _content(raw, coding)
    except av.error.FFmpegError as error:
        raise _refused(coding.codec, error) from None


def _refused(codec: Codec, error: av.error.FFmpegError) -> BadStream:
    return BadStream(f"the {codec} decoder refuses the stream: {error.strerror}")


def _packet(data: bytes) -> av.Packet[Stream]:
    """A packet in the library's own memory. One that wraps Python's bytes is freed by whichever decoder thread used it
    last, which needs the interpreter's lock; closing the decoder holds that lock and waits for the thread: for ever."""
    if not data:
        raise BadStream("the stream is damaged: a picture has no bytes")
    packet = av.Packet(len(data))
    packet.update(data)
    return packet


def _content(raw: av.VideoFrame, coding: Coding) -> Frame:
    layout = raw.format.name.replace("yuvj", "yuv")
    if layout != coding.pix_fmt or raw.width < coding.width or raw.height < coding.height:
        raise BadStream(f"the stream holds {raw.width}x{raw.height} {layout} pictures, not those that it announced")
    whole = to_frame(raw, coding.pix_fmt)
    shapes = _layout(coding, coding.pix_fmt).plane_shapes
    return Frame(tuple(plane[: shape[0], : shape[1]] for plane, shape in zip(whole.planes, shapes, strict=True)))


def to_source(content: Frame, coding: Coding, video: VideoInfo) -> Frame:
    """The frame in the source's size, chroma layout and bit depth; each plane is scaled by itself."""
    depth = _layout(coding, coding.pix_fmt).bit_depth
    planes: list[Plane] = []
    for place, shape in enumerate(video.plane_shapes):
        if place < len(content.planes):
            planes.append(to_depth(resize(content.planes[place], shape, depth), depth, video.bit_depth))
        else:  # grey was coded, colour is wanted
            planes.append(np.full(shape, 1 << (video.bit_depth - 1), video.dtype))
    return Frame(tuple(planes))


def _layout(coding: Coding, pix_fmt: PixelFormat) -> VideoInfo:
    return VideoInfo(width=coding.width, height=coding.height, fps_num=1, fps_den=1, frames=0, pix_fmt=pix_fmt)
