"""The model file of the family `hyperprior`: what its networks are, and their numbers, checked before they are used.

A safetensors file whose metadata holds the `Shape`. The tables of the entropy coder and the hyper-decoder are whole
numbers; the weights of the transforms are 16 bit floating point. The encoder's half lies in the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from gpu_workers.codec.decoder.entropy import Table, Whole
from gpu_workers.codec.decoder.whole import WholeConv
from lab.errors import UserError

SHAPE = "hyperprior"  # the metadata's key
WHOLE = "whole."  # what the synthesis in whole numbers needs
BLOCK = 16  # luma samples a side that one latent is about
PLANES = 6  # of half size: four of luma, U, V
HALF = BLOCK // 2
BLOCK_SAMPLES = PLANES * HALF * HALF
HYPER = 4  # latents a side that one hyper-latent is about
MOST_HYPER = 63  # of a hyper-latent, either side of zero
SCALES = 64  # tables
OCTAVE = 7  # tables from a scale to its double
QUARTERS = 4  # the hyper-decoder gives scales in quarters of a table
EIGHTHS = 8  # and means in eighths of a step
LEAST_SCALE = 0.11
MOST_QUARTER = 4 * 255
MOST_EIGHTH = 1 << 15
ACTIVE = 255  # the hyper-decoder's values between its layers
LAYERS = 4

Transform = Literal["dct16", "gdn"]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's networks look like. `frames` are coded together, each with `channels` latents a block."""

    transform: Transform = "dct16"
    channels: int = 192
    frames: int = 1
    width: int = 96  # of dct16's hidden layer at 1/16, or of GDN's layers
    post: int = 16  # channels of dct16's last network; 0: none
    hyper_latents: int = 32
    hyper: tuple[int, int, int] = (64, 48, 64)  # channels between the hyper-decoder's layers
    schema: int = 1

    @property
    def latents(self) -> int:
        return self.channels * self.frames

    def layer_shapes(self) -> tuple[tuple[int, int, int, int], ...]:
        """(out, in, k, k) of the hyper-decoder's layers; two of them double the size by giving four times as many."""
        first, second, third = self.hyper
        return ((first, self.hyper_latents, 3, 3), (4 * second, first, 3, 3), (4 * third, second, 3, 3),
                (2 * self.latents, third, 1, 1))

    def problems(self) -> list[str]:
        sizes = (self.channels, self.frames, self.width, self.post + 1, self.hyper_latents, *self.hyper)
        least = all(1 <= size <= 1024 for size in sizes) and self.latents <= 4096
        return [] if least and self.schema == 1 else ["its sizes are out of bounds"]


@dataclass(frozen=True)
class Model:
    shape: Shape
    layers: tuple[WholeConv, ...]
    tables: tuple[Table, ...]  # of the latents, by scale
    hyper_tables: tuple[Table, ...]  # by channel
    weights: Mapping[str, npt.NDArray[Any]]  # of the transforms; whole numbers under `WHOLE`


def layer_bounds(place: int) -> tuple[int, int, int]:
    """(greatest input, least and greatest result) of a layer of the hyper-decoder."""
    if place == LAYERS - 1:
        return ACTIVE, -MOST_EIGHTH, MOST_EIGHTH
    return (ACTIVE if place else MOST_HYPER), 0, ACTIVE


def load_model(path: Path | None) -> Model:
    """Raises UserError for a file that is no model of this family."""
    from safetensors import safe_open

    if path is None:
        raise UserError("the family hyperprior needs a model; give its file with --model")
    try:
        with safe_open(path, framework="numpy") as file:
            shape = msgspec.json.decode((file.metadata() or {})[SHAPE], type=Shape)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        if wrong := shape.problems():
            raise ValueError(wrong[0])
        return Model(shape, _layers(shape, tensors), _tables(tensors), _hyper_tables(shape, tensors),
                     {name: tensor for name, tensor in tensors.items() if tensor.dtype == np.float16
                      or name.startswith(WHOLE)})
    except Exception as error:  # safetensors has no narrower error that covers a bad file
        raise UserError(f"{path} is no model of the family hyperprior: {error}") from error


def save_model(path: Path, model: Model) -> None:
    from safetensors.numpy import save_file

    tensors: dict[str, npt.NDArray[Any]] = {name: np.ascontiguousarray(array)
                                            for name, array in model.weights.items()}
    for place, layer in enumerate(model.layers):
        tensors |= {f"hyper.{place}.weights": layer.weights.astype(np.int8), f"hyper.{place}.bias": layer.bias,
                    f"hyper.{place}.shift": layer.shift.astype(np.uint8)}
    # A table of the latents is even: from zero on, then the escape. Each begins where the last one ends.
    halves = [table.counts[-table.first:] for table in model.tables]
    tensors["tables"] = np.concatenate(halves).astype(np.int32)
    tensors["tables.length"] = np.array([len(half) for half in halves], np.int32)
    tensors["hyper.tables"] = np.stack([table.counts for table in model.hyper_tables]).astype(np.int32)
    save_file(tensors, path, metadata={SHAPE: msgspec.json.encode(model.shape).decode()})


def _layers(shape: Shape, tensors: Mapping[str, npt.NDArray[Any]]) -> tuple[WholeConv, ...]:
    layers = []
    for place, expected in enumerate(shape.layer_shapes()):
        weights, bias, shift = (np.asarray(tensors[f"hyper.{place}.{part}"], np.int32)
                                for part in ("weights", "bias", "shift"))
        if weights.shape != expected:
            raise ValueError(f"layer {place} of its hyper-decoder is {weights.shape} and not {expected}")
        layers.append(WholeConv(weights, bias, shift, *layer_bounds(place)))
    return tuple(layers)


def _tables(tensors: Mapping[str, npt.NDArray[Any]]) -> tuple[Table, ...]:
    counts, lengths = (np.asarray(tensors[name], np.int64) for name in ("tables", "tables.length"))
    if len(lengths) != SCALES or lengths.min() < 2 or lengths.sum() != len(counts):
        raise ValueError("its tables are not those of its scales")
    return tuple(even_table(half) for half in np.split(counts, np.cumsum(lengths)[:-1]))


def _hyper_tables(shape: Shape, tensors: Mapping[str, npt.NDArray[Any]]) -> tuple[Table, ...]:
    counts = np.asarray(tensors["hyper.tables"], np.int64)
    if counts.shape != (shape.hyper_latents, 2 * MOST_HYPER + 1):
        raise ValueError("its hyper-latents' tables are not those of its channels")
    return tuple(Table(-MOST_HYPER, row, escape=False) for row in counts)


def even_table(half: npt.NDArray[np.int64]) -> Table:
    """The table whose counts are `half` from zero on, mirrored; the last is the escape."""
    inner = half[:-1]
    return Table(1 - len(inner), np.concatenate((inner[:0:-1], inner, half[-1:])))


def whole(array: npt.NDArray[Any]) -> Whole:
    return np.ascontiguousarray(array, np.int32)
