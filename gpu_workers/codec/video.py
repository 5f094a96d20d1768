"""Reading video files: any file that PyAV opens becomes re-iterable frames with bounded memory, and facts.

Frames come in display order, every one once, in the file's own pixel format and range (see `pixels` for the formats
that have to be converted). Their number is counted by decoding once, since what containers say of it is often wrong.
A variable frame rate becomes its average: frames are paired by index everywhere in Aether, never by time.
"""

from __future__ import annotations

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
from gpu_workers.codec.seeking import Cursor, Index
from lab.errors import UserError

__all__ = ["BadFrames", "Frame", "FrameReader", "Frames", "RawReader", "VideoInfo", "describe", "facts"]

_RATE_DENOMINATOR = 100_000


class FrameReader:
    """The frames of a video file. Iterate it as often as wanted, or index it: `reader[i]` seeks when it has to.

    `format` is `info` with `frames = 0`: what is known without counting. `threads` is for the decoder, 0 its choice.
    Raises UserError where the file cannot be read as one video of one size and format.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        self.path = Path(path)
        self._threads = threads
        self._cursor = Cursor(self)
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
