"""The decoding agent of the family `hyperprior`: learned transforms, and an entropy model that every machine agrees on.

A CONFIG chunk says how latents were coded. Each KEY chunk holds the model's number of frames (fewer at the end), band
by band. Symbols are exact everywhere; pictures are within one code value, or exact where the synthesis is in whole
numbers too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from gpu_workers.codec.contract import Chunk, DecodeInfo, Frame, Kind, VideoInfo
from gpu_workers.codec.decoder.container import Reader
from gpu_workers.codec.decoder.decode import video_info
from gpu_workers.codec.decoder.entropy import Whole
from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.decoder.header import Fields
from gpu_workers.codec.decoder.hyperprior_latents import (
    Latents,
    Setup,
    Synthesis,
    bands,
    hyper_decoder,
    hyper_size,
)
from gpu_workers.codec.decoder.hyperprior_model import BLOCK, EIGHTHS, HALF, PLANES, Model, load_model
from gpu_workers.codec.decoder.hyperprior_planes import Fine, Real, half_size, to_fine, to_frame
from gpu_workers.codec.decoder.hyperprior_synthesis import HALO, blocks, posted, tensors
from gpu_workers.codec.decoder.hyperprior_whole import WholeSynthesis

_STRIP_ROWS = 128  # of half size: bounded memory, and what lies between the layers stays in the cache


def decode(chunks: Iterable[Chunk], info: DecodeInfo, model: Path | None) -> Iterator[Frame]:
    """Frames of `info.video`'s layout. Raises BadStream for bytes that are not to be decoded."""
    import_module("torch").set_num_threads(max(1, info.threads))
    loaded = load_model(model)
    pictures: Pictures | None = None
    for chunk in chunks:
        if chunk.kind is Kind.CONFIG:
            pictures = Pictures(loaded, Setup.from_bytes(chunk.data), info.video)
        elif chunk.kind is not Kind.KEY or pictures is None:
            raise BadStream("the stream is damaged: it has pictures without a set-up, or of a kind that is not known")
        else:
            yield from pictures.decode(chunk.data)


class Pictures:
    """What one CONFIG chunk is followed by."""

    def __init__(self, model: Model, setup: Setup, video: VideoInfo) -> None:
        self._shape, self._video, self._setup = model.shape, video, setup
        self._latents = Latents(model, setup)
        self._synthesis = (WholeSynthesis if setup.synthesis is Synthesis.WHOLE else FloatSynthesis)(model, setup)

    def decode(self, data: bytes) -> Iterator[Frame]:
        count, parts = split(data, self._shape.frames, self._video)
        rows, columns = half_size(self._video)
        blocks_across = -(-self._video.width // BLOCK)
        planes = np.concatenate([self._synthesis.blocks(self._latents.unpack(part, bottom - top, blocks_across))
                                 for (top, bottom), part in parts], axis=2)
        for frame in planes[:count]:
            yield to_frame(self._synthesis.fine(frame, self._video)[:, :rows, :columns], self._video)


class FloatSynthesis:
    def __init__(self, model: Model, setup: Setup) -> None:
        self._torch: Any = import_module("torch")
        self._shape, self._weights = model.shape, tensors(model.weights)
        self._unit = setup.factor / EIGHTHS

    def blocks(self, eighths: Whole) -> Real:
        """(latents, rows, columns) → (frames, 6, 8·rows, 8·columns)"""
        with self._torch.inference_mode():
            latents = self._torch.from_numpy(eighths).float().mul_(self._unit)[None]
            latents = latents.contiguous(memory_format=self._torch.channels_last)
            planes: Real = blocks(self._weights, self._shape, latents).numpy()
            return planes

    def fine(self, planes: Real, video: VideoInfo) -> Fine:
        """One frame's planes through the last network, strip by strip, as sixteenths of a code value."""
        padded = np.pad(planes, ((0, 0), (HALO, HALO), (HALO, HALO)), mode="edge")
        out = np.empty_like(planes)
        with self._torch.inference_mode():
            for top in range(0, planes.shape[1], _STRIP_ROWS):
                bottom = min(top + _STRIP_ROWS, planes.shape[1])
                strip = self._torch.from_numpy(padded[None, :, top:bottom + 2 * HALO])
                strip = strip.contiguous(memory_format=self._torch.channels_last)
                out[:, top:bottom] = posted(self._weights, strip)[0].numpy()
        return to_fine(out, video)


def split(data: bytes, frames: int, video: VideoInfo) -> tuple[int, list[tuple[tuple[int, int], bytes]]]:
    """How many frames a chunk holds, and its bands' rows of blocks with their bytes."""
    fields = Fields(data)
    count = fields.number() if frames > 1 else 1
    if not 1 <= count <= frames:
        raise BadStream(f"the stream is damaged: a chunk holds {count} frames and not 1 to {frames}")
    found = list(bands(-(-video.height // BLOCK), -(-video.width // BLOCK)))
    parts = [(band, fields.take(fields.number())) for band in found[:-1]]
    return count, [*parts, (found[-1], fields.take(fields.left()))]


def graphs(stream: Path, model: Path | None) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Everything of a network that one frame costs, in one piece: to count it. Of frames that are coded together, so
    many of so much less width are one."""
    torch: Any = import_module("torch")
    loaded = load_model(model)
    with stream.open("rb") as file:
        video = video_info(Reader(file).header)
    rows, columns = -(-video.height // BLOCK), -(-video.width // (BLOCK * loaded.shape.frames))
    weights, decoder, shape = tensors(loaded.weights), hyper_decoder(loaded), loaded.shape

    def whole(hyper: Any, latents: Any, planes: Any) -> None:
        decoder(hyper)
        blocks(weights, shape, latents)
        posted(weights, planes)

    size = hyper_size(rows, columns)
    yield whole, (torch.zeros(1, shape.hyper_latents, *size), torch.zeros(1, shape.latents, rows, columns),
                  torch.zeros(shape.frames, PLANES, HALF * rows + 2 * HALO, HALF * columns + 2 * HALO))
