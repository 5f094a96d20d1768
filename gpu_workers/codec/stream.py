"""Where the bytes of an `.aec` went: frame by frame, in key frames, and beside the coded data. All are counted."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gpu_workers.codec.decoder.container import Kind, Reader


class StreamFacts(msgspec.Struct, frozen=True, kw_only=True):
    family: str
    bytes: int
    data_bytes: int  # in chunks; the rest is the container's own
    key_bytes: int
    frame_bytes: list[int]  # by presentation index; what belongs to no single frame stands with the first it is about


def read_stream_facts(path: Path, frames: int) -> StreamFacts:
    """Raises BadStream for what is no whole stream, or one with chunks beyond `frames`."""
    frame_bytes = [0] * frames
    data_bytes = key_bytes = 0
    with open(path, "rb") as file:
        reader = Reader(file)
        for chunk in reader:
            size = len(chunk.data)
            data_bytes += size
            key_bytes += size if chunk.kind is Kind.KEY else 0
            frame_bytes[min(chunk.index, frames - 1)] += size
    return StreamFacts(family=reader.header.family, bytes=path.stat().st_size, data_bytes=data_bytes,
                       key_bytes=key_bytes, frame_bytes=frame_bytes)
