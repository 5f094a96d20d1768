"""Between bytes and latents of the family `hyperprior`: the part of it that is exact on every machine.

The hyper-latents of a band of the picture come first; from them the hyper-decoder, in whole numbers, gives each latent
its table and its mean; then come the latents. A latent is a whole number of steps beside its mean, and a mean is a
whole number of eighths. The encoder may make all steps larger or smaller than the model was trained with: scales are
then other tables, `quarters` of a table away, and means are multiplied by a fraction that the stream carries.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from typing import Any

import msgspec
import numpy as np

from gpu_workers.codec.decoder import varint
from gpu_workers.codec.decoder.entropy import Part, Unpacker, Which, Whole, pack
from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.decoder.header import Fields
from gpu_workers.codec.decoder.hyperprior_model import EIGHTHS, HYPER, LAYERS, OCTAVE, QUARTERS, SCALES, Model
from gpu_workers.codec.decoder.whole import module_of

STEP_BITS = 12  # of the fraction of a step
MEAN_BITS = 16
MOST_QUARTERS = 4 * OCTAVE * QUARTERS  # steps sixteen times as large, or as small
MOST_FACTOR = 1 << 21
BAND_BLOCKS = 1 << 13  # that are decoded at once: bounds memory, and a 1080p frame is one band


class Synthesis(enum.IntEnum):
    """How pictures are made of latents."""

    FLOAT = 0
    WHOLE = 1  # in whole numbers: every machine gives the same frames


class Setup(msgspec.Struct, frozen=True):
    """A CONFIG chunk: steps are `step`/2¹² of the model's; `quarters` and `shrink`/2¹⁶ follow from it."""

    synthesis: Synthesis
    quarters: int
    step: int
    shrink: int

    @classmethod
    def for_step(cls, factor: float, synthesis: Synthesis) -> Setup:
        """Steps nearest to `factor` times the model's that tables can follow."""
        octave = OCTAVE * QUARTERS
        quarters = int(np.clip(round(octave * np.log2(factor)), -MOST_QUARTERS, MOST_QUARTERS))
        exact = 2.0 ** (quarters / octave)
        return cls(synthesis, quarters, round(exact * (1 << STEP_BITS)), round((1 << MEAN_BITS) / exact))

    def to_bytes(self) -> bytes:
        numbers = (self.synthesis, varint.zigzag(self.quarters), self.step, self.shrink)
        return b"".join(map(varint.encode, numbers))

    @classmethod
    def from_bytes(cls, data: bytes) -> Setup:
        fields = Fields(data)
        synthesis, quarters, step, shrink = (fields.number() for _ in range(4))
        quarters = varint.unzigzag(quarters)
        within = abs(quarters) <= MOST_QUARTERS and 0 < step <= MOST_FACTOR and 0 < shrink <= MOST_FACTOR
        if synthesis > max(Synthesis) or not within or fields.rest():
            raise BadStream("the stream does not say how its latents were coded; use the Aether that made it")
        return cls(Synthesis(synthesis), quarters, step, shrink)

    @property
    def factor(self) -> float:
        return self.step / (1 << STEP_BITS)


class Latents:
    """Codes latents (latents, rows, columns) of a band under one model and setup."""

    def __init__(self, model: Model, setup: Setup) -> None:
        self._model, self._setup = model, setup

    def prior(self, hyper: Whole, rows: int, columns: int) -> tuple[Which, Whole]:
        """Of each latent its table and its mean in eighths of a step, from hyper-latents (channels, rows, columns)."""
        torch: Any = import_module("torch")
        with torch.inference_mode():
            out = self._hyper_decoder(torch.from_numpy(hyper.astype(np.float32))[None])[0, :, :rows, :columns]
            scales, means = out.to(torch.int32).numpy().reshape(2, self._model.shape.latents, rows, columns)
        which = np.clip((scales - self._setup.quarters + QUARTERS // 2) // QUARTERS, 0, SCALES - 1)
        shrunk = (means.astype(np.int64) * self._setup.shrink + (1 << MEAN_BITS - 1)) >> MEAN_BITS
        return which.astype(np.uint8), shrunk.astype(np.int32)

    def pack(self, hyper: Whole, which: Which, symbols: Whole) -> bytes:
        return pack([Part(self._model.hyper_tables, _channels(hyper.shape), hyper),
                     Part(self._model.tables, which, symbols)])

    def unpack(self, data: bytes, rows: int, columns: int) -> Whole:
        """The latents in eighths of a step. Raises BadStream."""
        unpacker = Unpacker(data)
        shape = (self._model.shape.hyper_latents, *hyper_size(rows, columns))
        which, means = self.prior(unpacker.take(self._model.hyper_tables, _channels(shape)), rows, columns)
        symbols = unpacker.take(self._model.tables, which)
        unpacker.finish()
        return symbols * np.int32(EIGHTHS) + means

    @cached_property
    def _hyper_decoder(self) -> Any:
        return hyper_decoder(self._model)


def hyper_decoder(model: Model) -> Any:
    """The torch module from hyper-latents (1, …) to scales in quarters of a table, then means in eighths."""
    torch: Any = import_module("torch")
    double = torch.nn.PixelShuffle(2)
    stages = [module_of(layer) for layer in model.layers]
    return torch.nn.Sequential(*(part for place, stage in enumerate(stages) for part in
                                 ((stage, double) if 0 < place < LAYERS - 1 else (stage,))))


def hyper_size(rows: int, columns: int) -> tuple[int, int]:
    return -(-rows // HYPER), -(-columns // HYPER)


def bands(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Blocks' rows from … to … that are coded together."""
    height = max(1, BAND_BLOCKS // columns // HYPER) * HYPER
    for top in range(0, rows, height):
        yield top, min(top + height, rows)


def _channels(shape: tuple[int, ...]) -> Which:
    return np.broadcast_to(np.arange(shape[0], dtype=np.uint8).reshape(-1, 1, 1), shape)
