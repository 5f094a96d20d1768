"""The decoding agent of the family `restore`: AV1 pictures, enlarged to the source's size, and a small network on top.

A CONFIG chunk begins a shot: it says where its filter is and how its pictures were coded. The filter's weights are
fitted to the shot and come in a WEIGHTS chunk, or came with an earlier shot, or are fitted to other footage and come in
the model, or there are none: then this is `classic` but for one byte. All of it is arithmetic in whole numbers, so that
every machine gives the same frames.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gpu_workers.codec.contract import Chunk, DecodeInfo, Frame, Kind, VideoInfo
from gpu_workers.codec.decoder.classic import Coding, contents, open_decoder, to_source
from gpu_workers.codec.decoder.container import Reader
from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.decoder.resample import resize, to_depth
from gpu_workers.codec.decoder.restore_filter import BITS, HALO, PLANES, Filter, from_half, network, restored, to_half
from lab.errors import UserError

FILTER = "filter"  # the model file's tensor: the bytes of a Filter
Restore = Callable[[Frame], Frame]


class Origin(enum.IntEnum):
    """Where the filter of the pictures that follow comes from."""

    NONE = 0
    CLIP = 1  # a WEIGHTS chunk before the first picture
    MODEL = 2  # the frozen weights
    LAST = 3  # the last WEIGHTS chunk, of an earlier shot


class Setup(msgspec.Struct, frozen=True):
    origin: Origin
    coding: Coding

    def to_bytes(self) -> bytes:
        return bytes([self.origin]) + self.coding.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Setup:
        if not data or data[0] > max(Origin):
            raise BadStream("the stream does not say which filter restores its pictures; use the Aether that made it")
        return cls(Origin(data[0]), Coding.from_bytes(data[1:]))


def decode(chunks: Iterable[Chunk], info: DecodeInfo, model: Path | None) -> Iterator[Frame]:
    """Frames of `info.video`'s layout, in display order. Raises BadStream for bytes that are not to be decoded."""
    run: _Run | None = None
    sent: Filter | None = None
    for chunk in chunks:
        if chunk.kind is Kind.CONFIG:
            if run is not None:
                yield from run.frames(None)
            run = _Run(Setup.from_bytes(chunk.data), info, model, sent)
        elif run is None:
            raise BadStream("the stream is damaged: pictures come before it says how they were coded")
        elif chunk.kind is Kind.WEIGHTS:
            sent = Filter.from_bytes(chunk.data)
            run.take(sent)
        else:
            yield from run.frames(chunk)
    if run is not None:
        yield from run.frames(None)


def filter_of(model: Path | None) -> Filter:
    """The filter in a model file. Raises UserError where there is none."""
    from safetensors.numpy import load_file

    if model is None:
        raise UserError("the filter lies in a model, which is not here; give its file with --model")
    try:
        data = load_file(model)[FILTER].astype(np.uint8).tobytes()
    except Exception as error:  # the library has no narrower error that covers a bad file
        raise UserError(f"{model} holds no filter of the family restore: {error}") from error
    return Filter.from_bytes(data)


def enlarged(content: Frame, coding: Coding, video: VideoInfo) -> tuple[np.ndarray[Any, Any], ...]:
    """The coded picture as 10 bit planes of the source's size, which must be 4:2:0 as every AV1 picture here is."""
    depth = 10 if coding.pix_fmt.endswith("10le") else 8
    pairs = zip(content.planes, video.plane_shapes, strict=True)
    return tuple(resize(to_depth(plane, depth, BITS), shape, BITS).astype(np.uint16) for plane, shape in pairs)


def restorer(filter_: Filter, coding: Coding, video: VideoInfo) -> Restore:
    """From a coded picture to the source's frame, through the filter. Raises BadStream for a source not in 4:2:0."""
    if not video.pix_fmt.startswith("yuv420p") or not coding.pix_fmt.startswith("yuv420p"):
        raise BadStream(f"the stream is damaged: no filter can be for {video.pix_fmt} coded as {coding.pix_fmt}")
    module = network(filter_)

    def restore(content: Frame) -> Frame:
        half = restored(module, to_half(enlarged(content, coding, video)))
        planes = from_half(half, video.height, video.width)
        return Frame(tuple(to_depth(plane, BITS, video.bit_depth) for plane in planes))

    return restore


def graphs(stream: Path, model: Path | None) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Each network that decoding this stream runs, with what it sees of one frame, in one piece: to count its cost."""
    torch: Any = import_module("torch")
    with stream.open("rb") as file:
        reader = Reader(file)
        rows, columns = -(-reader.header.height // 2), -(-reader.header.width // 2)
        example = torch.zeros(1, PLANES, rows + 2 * HALO, columns + 2 * HALO)
        for chunk in reader:
            if chunk.kind is Kind.WEIGHTS:
                yield network(Filter.from_bytes(chunk.data)), (example,)
            if chunk.kind is Kind.CONFIG and Setup.from_bytes(chunk.data).origin is Origin.MODEL:
                yield network(filter_of(model)), (example,)


class _Run:
    """The pictures of one shot: from one CONFIG to the next."""

    def __init__(self, setup: Setup, info: DecodeInfo, model: Path | None, sent: Filter | None) -> None:
        self._setup, self._info = setup, info
        setup.coding.check(info.video)
        self._decoder = open_decoder(setup.coding, info.threads)
        self._restore: Restore | None = None
        if setup.origin is Origin.NONE:
            self._restore = lambda content: to_source(content, setup.coding, info.video)
        elif setup.origin is Origin.MODEL:
            self._set(filter_of(model))
        elif setup.origin is Origin.LAST:
            if sent is None:
                raise BadStream("the stream is damaged: it names the weights of an earlier shot, and there are none")
            self._set(sent)

    def take(self, filter_: Filter) -> None:
        if self._restore is not None:
            raise BadStream("the stream is damaged: it holds weights that it did not announce")
        self._set(filter_)

    def _set(self, filter_: Filter) -> None:
        import_module("torch").set_num_threads(max(1, self._info.threads))
        self._restore = restorer(filter_, self._setup.coding, self._info.video)

    def frames(self, chunk: Chunk | None) -> Iterator[Frame]:
        if self._restore is None:
            if chunk is not None:
                raise BadStream("the stream is damaged: pictures come before the weights that it announced")
            return
        yield from map(self._restore, contents(self._decoder, chunk, self._setup.coding))
