"""Training of the family `restore` on footage that is not scored: one filter for every clip, frozen before it is used.

The train clips are coded as the spec says, and the filter is fitted to all of their pictures at once, a good picture
counting as much as a bad one. A limit in steps is repeatable to the bit, interrupted or not. One in seconds is turned
into steps by timing the first of them, and kept in the checkpoint, so that the schedule goes on as it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from gpu_workers.codec.contract import EncodeInfo, Frames, TrainInfo
from gpu_workers.codec.decoder.restore import FILTER, filter_of
from gpu_workers.codec.families.restore_base import FIRST_GUESS, HIGHEST_CRF, LOWEST_CRF, PAIR_BYTES, coded, pairs
from gpu_workers.codec.families.restore_fit import Fitting, Pairs
from gpu_workers.codec.families.restore_shots import Part
from gpu_workers.codec.families.restore_space import SPACE
from lab.errors import UserError
from lab.space import problems

FRAMES = 128  # of a clip that are coded to learn from, its first
_BLOCK = 10  # steps between looks at the clock
_TIME_USED = 0.95  # of the seconds: the steps that are planned; a slow minute must not cost the end of the schedule
_NOT_TIMED = 1 << 30


def train(clips: Sequence[Frames], info: TrainInfo) -> Path:
    """Raises UserError where there is nothing to train, or to learn from; Diverged."""
    if wrong := problems(SPACE, info.params):
        raise UserError(f"no such restore codec: {wrong[0]}")
    if info.params.get("mode") != "generic":
        raise UserError("the family restore is trained where mode is generic; elsewhere it learns from the clip itself")
    begin = time.monotonic()
    import_module("torch").set_num_threads(max(1, info.threads))
    learned = list(_learned(clips, info))
    fitting = Fitting(int(info.params["channels"]), info.limit.steps or _NOT_TIMED, info.seed)
    if info.resume is not None:
        fitting.load(info.resume)
    elif info.parent is not None:
        fitting.start_from(filter_of(info.parent))
    _run(fitting, learned, info, begin)
    return _saved(fitting, info.scratch / "weights.safetensors")


def _learned(clips: Sequence[Frames], info: TrainInfo) -> Iterator[Pairs]:
    """From each clip that a filter can be for, at each size that the spec leaves open."""
    usable = [clip for clip in clips if clip.info.pix_fmt.startswith("yuv420p")]
    if not usable:
        raise UserError("a filter learns from 4:2:0 video; add some: aether clips add FILE --role train")
    asked, crf = str(info.params["scale"]), float(info.params["crf"])
    scales = tuple(FIRST_GUESS) if asked == "auto" else (asked,)
    for clip in usable:
        part = Part(clip, range(min(len(clip), FRAMES)))
        own = EncodeInfo(video=part.info, params=info.params, scratch=info.scratch, seed=info.seed,
                         threads=info.threads)
        for scale in scales:
            lower = FIRST_GUESS[scale] if asked == "auto" else 0.0
            base = coded(part, own, scale, min(max(crf + lower, LOWEST_CRF), HIGHEST_CRF))
            yield pairs(part, own, base, PAIR_BYTES // (len(usable) * len(scales)))


def _run(fitting: Fitting, learned: Sequence[Pairs], info: TrainInfo, begin: float) -> None:
    begin -= fitting.spent_s
    kept = time.monotonic()
    while fitting.step < fitting.steps and not _is_over(info.limit.seconds, fitting.spent_s):
        block_begin = time.monotonic()
        loss = fitting.run(learned, min(_BLOCK, fitting.steps - fitting.step))
        now = time.monotonic()
        fitting.spent_s = now - begin
        if fitting.steps == _NOT_TIMED and fitting.step > _BLOCK:  # the very first block also wakes the libraries
            left_s = _TIME_USED * (info.limit.seconds or 0.0) - fitting.spent_s
            fitting.steps = fitting.step + max(0, int(left_s / (now - block_begin) * _BLOCK))
        info.progress(step=fitting.step, steps=fitting.steps, loss=round(loss, 6))
        if now - kept >= info.checkpoint_s:
            fitting.save(info.scratch / "checkpoint.safetensors")
            info.checkpoint(info.scratch / "checkpoint.safetensors")
            kept = now


def _is_over(limit_s: float | None, spent_s: float) -> bool:
    return limit_s is not None and spent_s >= limit_s


def _saved(fitting: Fitting, path: Path) -> Path:
    from safetensors.numpy import save_file

    save_file({FILTER: np.frombuffer(fitting.filter().to_bytes(), np.uint8)}, path)
    return path
