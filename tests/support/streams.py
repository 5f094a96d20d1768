"""Streams for tests: frames in memory, and `.aec` bytes made of them by a real encoder."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import msgspec

from gpu_workers.codec.contract import Chunk, EncodeInfo, Frame, VideoInfo
from gpu_workers.codec.decoder.container import Writer
from gpu_workers.codec.decoder.decode import Decoded
from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.decoder.header import Header
from gpu_workers.codec.families import classic
from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.video import FrameReader
from lab.space import Value
from support.footage import VIDEO

Item = TypeVar("Item")

QUICK: dict[str, dict[str, Value]] = {
    "x265": as_people_run("x265", x265_crf=30.0, x265_preset="superfast"),
    "svtav1": as_people_run("svtav1", svtav1_crf=45.0, svtav1_preset=10),
    "vvenc": as_people_run("vvenc", vvenc_qp=36),
}


class Clip:
    """Frames in memory, as an encoding agent sees a source."""

    def __init__(self, info: VideoInfo, frames: Sequence[Frame]) -> None:
        self.info = msgspec.structs.replace(info, frames=len(frames))
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        return self._frames[index]

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)


@lru_cache(maxsize=8)
def crop(name: str, frames: int, width: int, height: int) -> Clip:
    """The top left of the first frames of a committed clip."""
    reader = FrameReader(VIDEO / f"{name}.mp4")
    info = msgspec.structs.replace(reader.format, width=width, height=height)
    taken = [frame for frame, _ in zip(reader, range(frames), strict=False)]
    return Clip(info, [_top_left(frame, info) for frame in taken])


def _top_left(frame: Frame, info: VideoInfo) -> Frame:
    return Frame(tuple(plane[:rows, :columns] for plane, (rows, columns)
                       in zip(frame.planes, info.plane_shapes, strict=True)))  # fmt: skip


def chunks_of(clip: Clip, params: dict[str, Value], threads: int = 1) -> list[Chunk]:
    with TemporaryDirectory() as folder:
        info = EncodeInfo(video=clip.info, params=params, scratch=Path(folder), threads=threads)
        return list(classic.encode(clip, info, None))


def header_of(info: VideoInfo, family: str = "classic", model: str = "") -> Header:
    return Header(family=family, model=model, **msgspec.structs.asdict(info))


def stream(header: Header, chunks: Iterable[Chunk]) -> bytes:
    file = io.BytesIO()
    writer = Writer(file, header)
    for chunk in chunks:
        writer.write(chunk)
    writer.close()
    return file.getvalue()


def encoded(clip: Clip, params: dict[str, Value], threads: int = 1) -> bytes:
    return stream(header_of(clip.info), chunks_of(clip, params, threads))


def decoded(data: bytes) -> list[Frame]:
    return list(Decoded(io.BytesIO(data)))


def until_error(items: Iterable[Item]) -> tuple[list[Item], BadStream | None]:
    """What came before the stream was found to be bad, and the error if it was."""
    got: list[Item] = []
    try:
        for item in items:
            got.append(item)
    except BadStream as error:
        return got, error
    return got, None


def planar(frames: Iterable[Frame]) -> bytes:
    return b"".join(frame.to_bytes() for frame in frames)
