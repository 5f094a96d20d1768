"""The container `.aec`: a header, then chunks, then an index. One pass to write, one to read, one chunk in memory.

    header · chunk · chunk · … · index chunk · its length (4 bytes, little endian) · "AECi"
    chunk: tag · length · data · CRC-32C (4 bytes, little endian, over tag, length and data)

The tag is a varint of (zigzag(index − expected) << 3 | kind); `expected` is one past the last frame chunk's index, so
that a tag is one byte for frames in order and for the small steps of B-frames. The index holds the number of frames
and of chunks and where each KEY chunk lies, as differences. Overhead is 7 or 8 bytes a frame beside the header.
A stream can be read while it is written; a cut one gives every whole chunk before the cut, then says so.
No length is trusted: memory grows with the bytes that really arrive, and never beyond `MAX_CHUNK_BYTES`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import BinaryIO

import crc32c
import msgspec

from gpu_workers.codec.decoder import varint
from gpu_workers.codec.decoder.errors import BadStream, CutStream
from gpu_workers.codec.decoder.header import (
    FAMILY,
    MAGIC,
    MAX_BODY_BYTES,
    MAX_FRAMES,
    VERSION,
    Fields,
    Header,
    name_to_bytes,
)
from lab.words import count

MAX_CHUNK_BYTES = 1 << 28
FOOTER = b"AECi"
_PIECE_BYTES = 1 << 16


class Kind(enum.IntEnum):
    """What a chunk holds. INDEX and SEGMENT are the container's own; the rest belong to the family's two agents."""

    INDEX = 0
    SEGMENT = 1  # from here on another family, or another model
    CONFIG = 2  # what the decoding agent must know before the frames that follow
    KEY = 3  # frames that need nothing before them but the last CONFIG
    DELTA = 4  # frames that lean on earlier ones
    WEIGHTS = 5  # parameters fitted to this clip, which travel in the stream and count in its rate


class Chunk(msgspec.Struct, frozen=True):
    """`data` for the frames from presentation index `index` on; a chunk may hold one frame or many."""

    kind: Kind
    index: int
    data: bytes


class Segment(msgspec.Struct, frozen=True):
    """The family, and the hash of its model, of the chunks that follow."""

    family: str
    model: str = ""

    @classmethod
    def from_bytes(cls, data: bytes) -> Segment:
        fields = Fields(data)
        family, model = fields.name()
        if fields.rest() or not FAMILY.fullmatch(family) or len(model) not in (0, 64):
            raise BadStream("the stream is damaged: a segment does not name its family and model")
        return cls(family, model)


class Index(msgspec.Struct, frozen=True):
    """The end of a whole stream: its frames and chunks, and (presentation index, byte offset) of each KEY chunk."""

    frames: int
    chunks: int
    keys: tuple[tuple[int, int], ...]

    def to_bytes(self) -> bytes:
        numbers = [self.frames, self.chunks, len(self.keys)]
        last = (0, 0)
        for key in self.keys:
            numbers += [varint.zigzag(key[0] - last[0]), key[1] - last[1]]
            last = key
        return b"".join(map(varint.encode, numbers))

    @classmethod
    def from_bytes(cls, data: bytes) -> Index:
        fields = Fields(data)
        frames, chunks, count = fields.number(), fields.number(), fields.number()
        if count > len(data):
            raise BadStream("the stream's index is damaged: it has more entries than bytes")
        keys: list[tuple[int, int]] = []
        last = (0, 0)
        for _ in range(count):
            last = (last[0] + varint.unzigzag(fields.number()), last[1] + fields.number())
            keys.append(last)
        if fields.rest():
            raise BadStream("the stream's index is damaged: bytes are left over")
        return cls(frames, chunks, tuple(keys))


class Writer:
    """Writes a stream to any binary file object, chunk by chunk; `close` ends it with the index.

    The caller opens and closes the file itself. A writer that is never closed leaves a readable, cut stream.
    """

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        self._stream = stream
        self._header = header
        self._expected = self._chunks = self._end = 0
        self._keys: list[tuple[int, int]] = []
        body = header.to_bytes()
        block = varint.encode(VERSION) + varint.encode(len(body)) + body
        self.bytes_written = 0
        self._put(MAGIC + block + _checksum(block))

    def write(self, chunk: Chunk) -> None:
        """Raises ValueError for what no reader would take: a foreign kind, an index or a size out of bounds."""
        if chunk.kind not in (Kind.CONFIG, Kind.KEY, Kind.DELTA, Kind.WEIGHTS):
            raise ValueError(f"an encoding agent gives CONFIG, KEY, DELTA and WEIGHTS chunks, not {chunk.kind!r}")
        if not 0 <= chunk.index < (self._header.frames or MAX_FRAMES) or len(chunk.data) > MAX_CHUNK_BYTES:
            raise ValueError(f"a chunk of {len(chunk.data)} bytes for frame {chunk.index} does not belong here")
        if chunk.kind is Kind.KEY:
            self._keys.append((chunk.index, self.bytes_written))
        self._record(chunk.kind, chunk.index, chunk.data)

    def segment(self, segment: Segment) -> None:
        """The chunks from here on belong to another family or model."""
        self._record(Kind.SEGMENT, self._expected, name_to_bytes(segment.family, segment.model))

    def close(self, frames: int | None = None) -> Index:
        """Ends the stream. `frames` is needed where chunks hold several frames and the header gave no count."""
        total = frames if frames is not None else self._header.frames
        index = Index(self._end if total is None else total, self._chunks, tuple(self._keys))
        before = self.bytes_written
        self._record(Kind.INDEX, self._expected, index.to_bytes())
        self._put((self.bytes_written - before).to_bytes(4, "little") + FOOTER)
        return index

    def _record(self, kind: Kind, index: int, data: bytes) -> None:
        head = varint.encode(varint.zigzag(index - self._expected) << 3 | kind) + varint.encode(len(data))
        self._put(head + data + _checksum(head, data))
        self._chunks += 1
        if kind in (Kind.KEY, Kind.DELTA):
            self._expected = index + 1
            self._end = max(self._end, index + 1)

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self.bytes_written += len(data)


class Reader:
    """Reads a stream from any binary file object, seekable or not.

    The header is read at once. Iterating gives each chunk but the index, once; afterwards `index` is set. Raises
    BadStream at the first byte that cannot be right, CutStream (after all whole chunks) where the end is missing.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._expected = self._chunks = 0
        self.bytes_read = 0
        self.index: Index | None = None
        self.header = self._read_header()

    def __iter__(self) -> Iterator[Chunk]:
        while self.index is None:
            chunk = self._read_chunk()
            if chunk.kind is not Kind.INDEX:
                yield chunk

    def _read_header(self) -> Header:
        magic = self._stream.read(len(MAGIC))
        if magic != MAGIC:
            raise BadStream("this is no .aec stream, as `aether codec encode` makes them")
        self.bytes_read += len(magic)
        head = _Head(self)
        version, length = head.number(), head.number()
        if version != VERSION:
            raise BadStream(f"the stream has version {version}, this decoder reads {VERSION}; use a newer Aether")
        if length > MAX_BODY_BYTES:
            raise BadStream("the stream's header is damaged: it claims to be too long")
        body = self.exactly(length)
        self._verify("header", bytes(head.seen), body)
        return Header.from_bytes(body)

    def _read_chunk(self) -> Chunk:
        head = _Head(self)
        tag, length = head.number(), head.number()
        index = self._expected + varint.unzigzag(tag >> 3)
        if tag & 7 > max(Kind) or length > MAX_CHUNK_BYTES or not 0 <= index <= (self.header.frames or MAX_FRAMES):
            raise BadStream(f"the stream is damaged near byte {self.bytes_read}: chunk {self._chunks} cannot be so")
        data = self.exactly(length)
        self._verify(f"chunk {self._chunks}", bytes(head.seen), data)
        chunk = Chunk(Kind(tag & 7), index, data)
        if chunk.kind is Kind.INDEX:
            self._end(data, len(head.seen) + len(data) + 4)
        self._chunks += 1
        if chunk.kind in (Kind.KEY, Kind.DELTA):
            self._expected = index + 1
        return chunk

    def _end(self, data: bytes, record_bytes: int) -> None:
        index = Index.from_bytes(data)
        if self.exactly(8) != record_bytes.to_bytes(4, "little") + FOOTER or self._stream.read(1):
            raise BadStream("the stream's end is damaged: the bytes after its index are not the footer")
        if index.chunks != self._chunks or self.header.frames not in (None, index.frames):
            raise BadStream("the stream is damaged: its index counts other chunks or frames than it has")
        self.index = index

    def _verify(self, what: str, *parts: bytes) -> None:
        if self.exactly(4) != _checksum(*parts):
            raise BadStream(f"the stream is damaged near byte {self.bytes_read}: the checksum of {what} does not match")

    def exactly(self, length: int) -> bytes:
        """The next `length` bytes, allocated as they arrive. Raises CutStream if there are fewer."""
        data = bytearray()
        while len(data) < length:
            piece = self._stream.read(min(_PIECE_BYTES, length - len(data)))
            if not piece:
                raise CutStream(f"the stream is cut after {count(self._chunks, 'whole chunk')} "
                                f"({count(self.bytes_read, 'byte')}); fetch it again, or use the frames before the cut")
            data += piece
            self.bytes_read += len(piece)
        return bytes(data)


class _Head:
    """Numbers straight from a reader's stream, with the bytes they came in, for the checksum."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.seen = bytearray()

    def number(self) -> int:
        try:
            return varint.read(self._byte)
        except ValueError as error:
            raise BadStream(f"the stream is damaged near byte {self._reader.bytes_read}: {error}") from None

    def _byte(self) -> int:
        byte = self._reader.exactly(1)[0]
        self.seen.append(byte)
        return byte


def _checksum(*parts: bytes) -> bytes:
    value = 0
    for part in parts:
        value = crc32c.crc32c(part, value)
    return value.to_bytes(4, "little")
