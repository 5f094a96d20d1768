"""The encoding agent of the family `restore`: shot by shot, SVT-AV1 at the best size, and a filter where it pays.

Everything is measured on what the decoder will give, and judged by the bytes that the base encoder itself, at the size
that was asked for, would need for the same PSNR-Y. A filter fitted to the shot travels with it and is paid for; the
filter of an earlier shot, and one that was trained on other footage, cost nothing here. What does not win by more than
the measure can be wrong is not taken: then a shot is what SVT-AV1 alone makes of it, and a byte.
The same frames, parameters, seed and model give the same bytes. One shot is held at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import msgspec

from gpu_workers.codec.contract import Chunk, EncodeInfo, Frames, Kind
from gpu_workers.codec.decoder.restore import Origin, Setup, filter_of, restorer
from gpu_workers.codec.decoder.restore_filter import Filter
from gpu_workers.codec.families.restore_base import OVERHEAD, Base, Curve, base_contents, bases, pairs, psnr_y_db
from gpu_workers.codec.families.restore_fit import Fitting, Pairs, gain_db
from gpu_workers.codec.families.restore_learn import train
from gpu_workers.codec.families.restore_shots import Part, shots
from gpu_workers.codec.families.restore_space import SPACE
from lab.errors import UserError
from lab.space import problems

__all__ = ["encode", "train"]

MARGIN = 0.005  # of the bytes: about what a curve of two points is wrong by
PROBED_SHARE = 0.25  # of the steps, to see which size a filter helps most
NEAR_THE_BEST = 0.1  # of the bytes: a size that is worse without a filter is not probed
_LEAST_FILTER_BYTES = 300
_MOST_GAIN_DB = 3.0  # that a filter has ever been worth on coded pictures, and more


@dataclass(frozen=True)
class Choice:
    """One way to code a shot, and the log of bytes that it saves against the curve."""

    base: Base
    saving: float
    origin: Origin = Origin.NONE
    filter: Filter | None = None

    def chunks(self, first: int) -> Iterator[Chunk]:
        yield Chunk(Kind.CONFIG, first, Setup(self.origin, self.base.coding).to_bytes())
        if self.origin is Origin.CLIP and self.filter is not None:
            yield Chunk(Kind.WEIGHTS, first, self.filter.to_bytes())
        for chunk in self.base.chunks[1:]:
            yield msgspec.structs.replace(chunk, index=first + chunk.index)


def encode(frames: Frames, info: EncodeInfo, model: Path | None) -> Iterator[Chunk]:
    """Raises UserError for parameters outside the space, or a model that is missing or none; EncoderFailed where the
    encoder gives up."""
    if wrong := problems(SPACE, info.params):
        raise UserError(f"no such restore codec: {wrong[0]}")
    trained = filter_of(model) if info.params.get("mode") == "generic" else None
    sent: Filter | None = None
    for place in shots(frames):
        choice = best(Part(frames, place), info, trained, sent)
        sent = choice.filter if choice.origin is Origin.CLIP else sent
        yield from choice.chunks(place.start)


def best(frames: Frames, info: EncodeInfo, trained: Filter | None, sent: Filter | None) -> Choice:
    """The way to code one shot that saves most. `trained` comes in the model, `sent` with an earlier shot."""
    curve, found = bases(frames, info)
    plain = [Choice(base, curve.saving(base.bytes, base.psnr_y_db)) for base in found]
    choices = list(plain)
    if info.params["channels"] and info.video.pix_fmt.startswith("yuv420p"):
        import_module("torch").set_num_threads(max(1, info.threads))
        near = [one.base for one in plain if one.saving > max(other.saving for other in plain) - NEAR_THE_BEST]
        for origin, filter_ in ((Origin.MODEL, trained), (Origin.LAST, sent)):
            choices += [_restored(frames, info, curve, base, origin, filter_) for base in near if filter_ is not None]
        if info.params["mode"] == "overfitted":
            choices += _fitted(frames, info, curve, near)
    return max(choices, key=lambda choice: choice.saving - (MARGIN if choice is not plain[0] else 0.0))


def _fitted(frames: Frames, info: EncodeInfo, curve: Curve, near: list[Base]) -> list[Choice]:
    """With a filter fitted to the size that it helps most; nothing where no filter could pay."""
    worth = [base for base in near if _could_pay(base, curve)]
    if not worth:
        return []
    base = worth[0] if len(worth) == 1 else max(worth, key=lambda one: _probed(frames, info, curve, one))
    filter_ = _fit(info, curve, base, pairs(frames, info, base), int(info.params["steps"]))
    return [_restored(frames, info, curve, base, Origin.CLIP, filter_)]


def _could_pay(base: Base, curve: Curve) -> bool:
    return base.bytes * math.expm1(curve.steepness * _MOST_GAIN_DB) > _LEAST_FILTER_BYTES


def _probed(frames: Frames, info: EncodeInfo, curve: Curve, base: Base) -> float:
    """About what a filter makes of this base, from a short fitting and some of the pictures."""
    learned = pairs(frames, info, base)
    filter_ = _fit(info, curve, base, learned, max(1, round(int(info.params["steps"]) * PROBED_SHARE)))
    return curve.saving(base.bytes + _cost(filter_), base.psnr_y_db + gain_db(filter_, learned))


def _fit(info: EncodeInfo, curve: Curve, base: Base, learned: Pairs, steps: int) -> Filter:
    price = math.log(10) / 10 / (curve.steepness * base.bytes)  # an error less by 1 % is 0.01 · 10 / ln 10 dB
    fitting = Fitting(int(info.params["channels"]), steps, info.seed, price)
    fitting.run([learned], steps)
    return fitting.filter()


def _restored(frames: Frames, info: EncodeInfo, curve: Curve, base: Base, origin: Origin, filter_: Filter) -> Choice:
    restore = restorer(filter_, base.coding, info.video)
    reached_db = psnr_y_db(frames, map(restore, base_contents(base, info)), info.video)
    paid = base.bytes + (_cost(filter_) if origin is Origin.CLIP else 0)
    return Choice(base, curve.saving(paid, reached_db), origin, filter_)


def _cost(filter_: Filter) -> int:
    return len(filter_.to_bytes()) + OVERHEAD
