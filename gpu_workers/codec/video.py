"""Reading video files: any file that PyAV opens becomes re-iterable frames with bounded memory, and facts.

Frames come in display order, every one once, in the file's own pixel format and range (see `pixels` for the formats
that have to be converted). Their number is counted by decoding once, since what containers say of it is often wrong.
A variable frame rate becomes its average: frames are paired by index everywhere in Aether, never by time.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import msgspec
from av.container import InputContainer
from av.video.stream import VideoStream

from gpu_workers.codec.frames import BadFrames, Frame, Frames, RawReader, VideoInfo, describe
from gpu_workers.codec.pixels import is_full_range, is_native, layout_of, matrix_of, to_frame
from lab.errors import UserError

__all__ = ["BadFrames", "Frame", "FrameReader", "Frames", "RawReader", "VideoInfo", "describe", "facts"]

_KEPT_FRAMES = 4  # random access keeps so many decoded frames
_RATE_DENOMINATOR = 100_000


class FrameReader:
    """The frames of a video file. Iterate it as often as wanted, or index it: `reader[i]` seeks when it has to.

    `format` is `info` with `frames = 0`: what is known without counting. `threads` is for the decoder, 0 its choice.
    Raises UserError where the file cannot be read as one video of one size and format.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        self.path = Path(path)
        self._threads = threads
        self._cursor = _Cursor(self)
        first, rate = self._first()
        quarter_turn = first.rotation % 180 != 0
        layout = layout_of(first.format, quarter_turn)
        self.codec = rate[1]
        self.rotation_deg = first.rotation
        self.converted_from = None if is_native(first, layout) else first.format.name
        self._coded = (first.width, first.height, first.format.name, first.rotation)
        self.format = VideoInfo(
            width=first.height if quarter_turn else first.width,
            height=first.width if quarter_turn else first.height,
            fps_num=rate[0].numerator,
            fps_den=rate[0].denominator,
            frames=0,
            pix_fmt=layout,
            full_range=is_full_range(first),
            matrix=matrix_of(first),
        )

    @cached_property
    def info(self) -> VideoInfo:
        rate = _average_rate(self.index, self.format.fps)
        return msgspec.structs.replace(
            self.format, frames=len(self.index.pts), fps_num=rate.numerator, fps_den=rate.denominator
        )

    def __len__(self) -> int:
        return len(self.index.pts)

    def __iter__(self) -> Iterator[Frame]:
        with self.open() as (container, stream):
            for raw in self.decode(container, stream):
                yield self.deliver(raw)

    def __getitem__(self, number: int) -> Frame:
        if not -len(self) <= number < len(self):
            raise IndexError(f"frame {number} of {len(self)}")
        return self._cursor.frame(number % len(self))

    @cached_property
    def index(self) -> Index:
        """When each frame is shown and where decoding can start: one pass over the file."""
        index = Index()
        with self.open() as (container, stream):
            index.time_base = stream.time_base
            for raw in self.decode(container, stream, count_bytes=index):
                index.add(raw)
        return index

    @contextmanager
    def open(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        with _one_line_errors(self.path), av.open(str(self.path), metadata_errors="replace") as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise UserError(f"{self.path} has no video in it; give a file that has")
            if getattr(stream, "codec_context", None) is None:  # against PyAV's own type
                raise UserError(f"{self.path} is in a codec that is not known here; convert it first, say to H.264")
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = self._threads
            yield container, stream

    def decode(
        self, container: InputContainer, stream: VideoStream, count_bytes: Index | None = None
    ) -> Iterator[av.VideoFrame]:
        for packet in container.demux(stream):
            if count_bytes is not None:
                count_bytes.bytes += packet.size
            yield from packet.decode()

    def deliver(self, raw: av.VideoFrame) -> Frame:
        coded = (raw.width, raw.height, raw.format.name, raw.rotation)
        if coded != self._coded:
            raise UserError(
                f"{self.path} changes from {_coded_text(self._coded)} to {_coded_text(coded)} on its way;"
                " cut it there into files of one format each"
            )
        return to_frame(raw, self.format.pix_fmt)

    def _first(self) -> tuple[av.VideoFrame, tuple[Fraction, str]]:
        with self.open() as (container, stream):
            stream.thread_type = "NONE"  # frame threads would decode many to give the first
            raw = next(self.decode(container, stream), None)
            if raw is None:
                raise UserError(f"{self.path} has no picture that can be decoded; check the file, or make it again")
            rate = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
            return raw, (Fraction(rate), stream.codec_context.name)


class Index:
    """Presentation times and key frames of a file's frames, in display order, and the stream's size in bytes."""

    def __init__(self) -> None:
        self.pts = array("q")
        self.keys = array("q")  # numbers of the key frames
        self.bytes = 0
        self.time_base: Fraction | None = None
        self.timed = True  # every frame has a time, and each is later than the one before

    def add(self, raw: av.VideoFrame) -> None:
        if raw.pts is None or (self.pts and raw.pts <= self.pts[-1]):
            self.timed = False
        if raw.key_frame:
            self.keys.append(len(self.pts))
        self.pts.append(raw.pts or 0)

    def key_before(self, number: int) -> int:
        """The last key frame at or before this frame; 0 where seeking by time is not safe."""
        place = bisect_right(self.keys, number) if self.timed else 0
        return self.keys[place - 1] if place else 0


class _Cursor:
    """Random access: goes on decoding where it stands, or starts again at the key frame before the frame wanted."""

    def __init__(self, reader: FrameReader) -> None:
        self._reader = reader
        self._kept: OrderedDict[int, Frame] = OrderedDict()
        self._next = 0
        self._frames: Iterator[av.VideoFrame] | None = None

    def frame(self, number: int) -> Frame:
        if number not in self._kept:
            self._walk_to(number)
        self._kept.move_to_end(number)
        return self._kept[number]

    def _walk_to(self, number: int) -> None:
        key = self._reader.index.key_before(number)
        if self._frames is None or not self._next <= number or key > self._next:
            self._restart(key)
        while number not in self._kept:
            assert self._frames is not None
            raw = next(self._frames, None)
            if raw is None:
                raise UserError(f"{self._reader.path} changed while it was read; leave it alone and start again")
            if self._next >= number - _KEPT_FRAMES + 1:
                self._keep(self._next, self._reader.deliver(raw))
            self._next += 1

    def _keep(self, number: int, frame: Frame) -> None:
        self._kept[number] = frame
        while len(self._kept) > _KEPT_FRAMES:
            self._kept.popitem(last=False)

    def _restart(self, key: int) -> None:
        self._frames, self._next = self._from(key), key

    def _from(self, key: int) -> Iterator[av.VideoFrame]:
        """Frames from a key frame on; from the very first one where the seek did not lead to it."""
        wanted = self._reader.index.pts[key]
        with self._reader.open() as (container, stream):
            if key > 0:
                container.seek(wanted, stream=stream)
            frames = self._reader.decode(container, stream)
            for raw in frames if key > 0 else ():
                if raw.pts is not None and raw.pts == wanted:
                    yield raw
                    yield from frames
                    return
                if raw.pts is None or raw.pts > wanted:
                    break
        with self._reader.open() as (container, stream):
            for number, raw in enumerate(self._reader.decode(container, stream)):
                if number >= key:
                    yield raw


def facts(path: str | Path) -> dict[str, Any]:
    """What a clip's file says of itself: the layout, sizes and rates, and what is done to it on delivery."""
    reader = FrameReader(path)
    info = reader.info
    return {
        **msgspec.structs.asdict(info),
        "fps": round(float(info.fps), 4),
        "duration_s": info.duration_s,
        "bytes": reader.path.stat().st_size,
        "source_mbps": reader.index.bytes * 8 / info.duration_s / 1e6,
        "codec": reader.codec,
        "converted_from": reader.converted_from,
        "rotation_deg": reader.rotation_deg,
    }


def _average_rate(index: Index, stated: Fraction) -> Fraction:
    """The stated rate, unless the frames' own times say otherwise by more than half a frame over the whole file."""
    steps = len(index.pts) - 1
    if not index.timed or steps < 1 or index.time_base is None:
        return stated
    span_s = (index.pts[-1] - index.pts[0]) * index.time_base
    if abs(span_s - steps / stated) * stated <= Fraction(1, 2):
        return stated
    return (steps / span_s).limit_denominator(_RATE_DENOMINATOR)


def _coded_text(coded: tuple[int, int, str, int]) -> str:
    return f"{coded[0]}×{coded[1]} {coded[2]}" + (f" turned by {coded[3]}°" if coded[3] else "")


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except av.error.FileNotFoundError:
        raise UserError(f"there is no file {path}; check the path") from None
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path} cannot be read as video ({reason}); check that it is whole, and a video") from error
