"""From an `.aec` to frames: reads the container, hands each segment to its family's decoding agent, checks the frames.

`decode` promises exactly the frames that the header announces, in its layout, or a BadStream. Of a cut stream it
gives every frame that the bytes before the cut decode to, and then raises CutStream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from gpu_workers.codec.contract import Chunk, DecodeInfo, DecodingAgent, Kind, load_decoding_agent
from gpu_workers.codec.decoder.container import Reader, Segment
from gpu_workers.codec.decoder.errors import BadStream, CutStream
from gpu_workers.codec.decoder.header import Header
from gpu_workers.codec.frames import BadFrames, Frame, VideoInfo, check_layout, given
from lab.errors import UserError

AGENTS: Mapping[str, str | Path] = {
    "classic": "gpu_workers.codec.decoder.classic",
    "restore": "gpu_workers.codec.decoder.restore",
    "hyperprior": "gpu_workers.codec.decoder.hyperprior",
}


class Decoded:
    """The frames of one stream, once. `info` is known at once; `info.frames` is 0 if only the stream's end tells.

    `agents` says where each family's decoding agent is: a module's name or a file. `models` are files by their hash.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        threads: int = 1,
        agents: Mapping[str, str | Path] = AGENTS,
        models: Mapping[str, Path] | None = None,
    ) -> None:
        self._reader = Reader(stream)
        self.header = self._reader.header
        self.info = video_info(self.header)
        self._threads = threads
        self._agents = agents
        self._models = models if models is not None else {}

    def __iter__(self) -> Iterator[Frame]:
        count = 0
        chunks = _Segments(self._reader)
        while (segment := chunks.next_segment()) is not None:
            for frame in self._decoded(segment, chunks):
                if count == self.info.frames > 0:
                    raise BadStream(f"the stream holds more frames than the {count} that it announces")
                count += 1
                yield frame
        if chunks.cut is not None:
            raise chunks.cut
        if self._reader.index is not None and count != self._reader.index.frames:
            raise BadStream(f"the stream decodes to {count} frames, but announces {self._reader.index.frames}")

    def _decoded(self, segment: Segment, chunks: Iterator[Chunk]) -> Iterator[Frame]:
        agent = self._agent(segment.family)
        frames = agent.decode(chunks, DecodeInfo(video=self.info, threads=self._threads), self._model(segment.model))
        if not isinstance(frames, Iterable):  # a decode that forgot its yield
            raise BadStream(f"the decoder of {segment.family!r} gave {given(frames)}, and not its Frames one after the "
                            f"other (docs/two-agents.md)")
        try:
            for frame in frames:
                yield check_layout(frame, self.info)
        except BadFrames as error:
            raise BadStream(f"the decoder of {segment.family!r} gave {error}") from None

    def _agent(self, family: str) -> DecodingAgent:
        if family not in self._agents:
            raise BadStream(f"the stream's family {family!r} is not known here; use the Aether that made it")
        return load_decoding_agent(self._agents[family])

    def _model(self, digest: str) -> Path | None:
        if digest and digest not in self._models:
            raise UserError(f"the stream needs the weights {digest}, which are not here; give their file with --model, "
                            f"or --backend of the laboratory that trained them")
        return self._models[digest] if digest else None


def decode(stream: BinaryIO, *, threads: int = 1) -> Iterator[Frame]:
    """The frames of a stream of a built-in family that needs no model."""
    yield from Decoded(stream, threads=threads)


def video_info(header: Header) -> VideoInfo:
    fields = {name: getattr(header, name) for name in ("width", "height", "fps_num", "fps_den", "pix_fmt", "full_range",
                                                       "matrix")}
    return msgspec.convert({**fields, "frames": header.frames or 0}, VideoInfo)


class _Segments(Iterator[Chunk]):
    """The chunks of one segment at a time, as an iterator that ends where the next segment begins.

    A cut ends the iterator too, so that the agent gives what it still holds; `cut` keeps the error for afterwards.
    """

    def __init__(self, reader: Reader) -> None:
        self._chunks = iter(reader)
        self._next: Segment | None = Segment(reader.header.family, reader.header.model)
        self._left = False
        self.cut: CutStream | None = None

    def next_segment(self) -> Segment | None:
        for _ in self:  # what the last agent did not want
            pass
        segment, self._next = self._next, None
        self._left = segment is not None
        return segment

    def __next__(self) -> Chunk:
        if not self._left:
            raise StopIteration
        try:
            chunk = next(self._chunks)
        except (StopIteration, CutStream) as end:
            self._left = False
            self.cut = end if isinstance(end, CutStream) else None
            raise StopIteration from None
        if chunk.kind is Kind.SEGMENT:
            self._next, self._left = Segment.from_bytes(chunk.data), False
            raise StopIteration
        return chunk
