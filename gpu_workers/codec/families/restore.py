"""The encoding agent of the family `restore`: SVT-AV1 at the size that measures best, and a filter if it pays.

Everything is measured on what the decoder will give. The filter is kept where its bytes are fewer than those that the
base encoder itself would need for the same gain in PSNR-Y, by its own curve at this size; otherwise the stream is the
base alone. The same frames, parameters and seed give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from gpu_workers.codec.contract import Chunk, EncodeInfo, Frames, Kind
from gpu_workers.codec.decoder.restore import Origin, Setup, filter_of, restorer
from gpu_workers.codec.decoder.restore_filter import Filter
from gpu_workers.codec.families.restore_base import OVERHEAD, Base, base_contents, best_base, pairs, psnr_y_db
from gpu_workers.codec.families.restore_fit import Fitting
from gpu_workers.codec.families.restore_space import SPACE
from lab.errors import UserError
from lab.space import problems


def encode(frames: Frames, info: EncodeInfo, model: Path | None) -> Iterator[Chunk]:
    """Raises UserError for parameters outside the space, EncoderFailed where the encoder gives up."""
    if wrong := problems(SPACE, info.params):
        raise UserError(f"no such restore codec: {wrong[0]}")
    base, steepness = best_base(frames, info)
    origin, filter_ = _filter(frames, info, model, base, steepness)
    yield Chunk(Kind.CONFIG, 0, Setup(origin, base.coding).to_bytes())
    if origin is Origin.CLIP and filter_ is not None:
        yield Chunk(Kind.WEIGHTS, 0, filter_.to_bytes())
    yield from base.chunks[1:]


def _filter(frames: Frames, info: EncodeInfo, model: Path | None, base: Base,
            steepness: float) -> tuple[Origin, Filter | None]:
    """The filter that pays, and where the decoder finds it."""
    if not info.params["channels"] or not info.video.pix_fmt.startswith("yuv420p"):
        return Origin.NONE, None
    import_module("torch").set_num_threads(max(1, info.threads))
    if info.params["mode"] == "generic":
        origin, filter_, cost = Origin.MODEL, filter_of(model), 0
    else:
        origin, filter_ = Origin.CLIP, _overfitted(frames, info, base, steepness)
        cost = len(filter_.to_bytes()) + OVERHEAD
    restore = restorer(filter_, base.coding, info.video)
    restored = map(restore, base_contents(base, info))
    gain = psnr_y_db(frames, restored, info.video) - base.psnr_y_db
    pays = base.bytes * math.expm1(steepness * gain) > cost
    return (origin, filter_) if pays else (Origin.NONE, None)


def _overfitted(frames: Frames, info: EncodeInfo, base: Base, steepness: float) -> Filter:
    steps = int(info.params["steps"])
    price = math.log(10) / 10 / (steepness * base.bytes)  # an error less by 1 % is 0.01 · 10 / ln 10 dB
    fitting = Fitting(int(info.params["channels"]), steps, info.seed, price)
    fitting.run(pairs(frames, info, base), steps)
    return fitting.filter()
