"""A card of an `.aec`: what it says of itself, what it holds, and whether it is whole."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from gpu_workers.codec.decoder.container import Kind, Reader, Segment
from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.decoder.header import Header


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What an `.aec` says of itself, and whether it is whole. `chunks` counts them by kind."""

    header: Header
    frames: int | None
    bytes: int
    mbps: float | None
    chunks: dict[str, int]
    overhead_bytes: int  # all that is not a chunk's data
    segments: tuple[Segment, ...]
    problem: str | None


def inspect(path: str | Path) -> Card:
    """Reads every chunk and its checksum. Raises BadStream if not even the header can be read."""
    with open(path, "rb") as file:
        reader = Reader(file)
        header = reader.header
        chunks: Counter[str] = Counter()
        segments = [Segment(header.family, header.model)]
        data_bytes, problem = 0, None
        try:
            for chunk in reader:
                chunks[chunk.kind.name.lower()] += 1
                data_bytes += len(chunk.data)
                segments += [Segment.from_bytes(chunk.data)] if chunk.kind is Kind.SEGMENT else []
        except BadStream as error:
            problem = str(error)
    frames = reader.index.frames if reader.index else header.frames
    total = Path(path).stat().st_size
    return Card(header=header, frames=frames, bytes=total, overhead_bytes=total - data_bytes, chunks=dict(chunks),
                mbps=total * 8e-6 * header.fps_num / header.fps_den / frames if frames else None,
                segments=tuple(segments), problem=problem)
