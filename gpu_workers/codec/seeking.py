"""Random access to a file's frames: where each is, and a cursor that decodes no more than it has to.

Seeking goes by presentation time to a key frame and is trusted only if that very frame comes first; else, and in files
whose frames have no times (raw streams), decoding starts at the beginning. Right first, fast where it can be.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from gpu_workers.codec.frames import Frame
from lab.errors import UserError

_KEPT_FRAMES = 4


class Source(Protocol):
    """A file that can be decoded from its beginning or from where its container was sought to."""

    path: Path

    @property
    def index(self) -> Index: ...
    def open(self) -> AbstractContextManager[tuple[InputContainer, VideoStream]]: ...
    def decode(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]: ...
    def deliver(self, raw: av.VideoFrame) -> Frame: ...


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


class Cursor:
    """Random access: goes on decoding where it stands, or starts again at the key frame before the frame wanted."""

    def __init__(self, reader: Source) -> None:
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
