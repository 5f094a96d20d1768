"""Coding one source by a family with one knob, until its rate, or its PSNR, is the one asked for.

Every trial is a whole encoding, with a network fitted to the source where the family does that, so there are few.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpu_workers.codec.encoding import encode_stream
from gpu_workers.codec.families.knobs import Knob
from gpu_workers.codec.frames import Frames
from gpu_workers.codec.operating_point import closest, lowest_rate
from gpu_workers.codec.searching import (
    DEFAULT_MBPS,
    PSNR_TOLERANCE_DB,
    RATE_TOLERANCE,
    Progress,
    Trial,
    Watched,
    decoded_psnr_y_db,
)
from lab.errors import UserError
from lab.space import Value, problems

TRIES = 7


@dataclass
class Turner:
    """Codes `frames` by `family` at various settings of its knob, into files of `folder`. `model` are its weights."""

    frames: Frames
    folder: Path
    family: str
    knob: Knob
    given: Mapping[str, Value]
    model: Path | None
    threads: int
    progress: Progress | None
    encodings: int = field(default=0, init=False)

    def trial(self, step: int | None = None, psnr: bool = False) -> Trial:
        """At that step of the knob, or where `given` has it. Raises UserError for what the space does not hold."""
        turned = {} if step is None else {self.knob.name: self.knob.value(step)}
        params = self.knob.point({**self.given, **turned})
        if wrong := problems(self.knob.space, params):
            raise UserError(f"no such {self.family} codec: {wrong[0]}")
        self.encodings += 1
        path = self.folder / f"{self.encodings}.aec"
        watched = Watched(self.frames, self.frames.info, f"encoding ({self.encodings})", self.progress)
        record = encode_stream(watched, path, self.family, params, 0, self.threads, model=self.model)
        mbps = record.bytes * 8e-6 / self.frames.info.duration_s
        worth = decoded_psnr_y_db(self.frames, path, self.threads, self.model) if psnr else None
        return Trial(path=path, params=params, mbps=mbps, psnr_y_db=worth)


def turn(turner: Turner, asked: Mapping[str, float]) -> Trial:
    """The best trial for `asked`: one of `mbps`, `crf` and `psnr`, or nothing for what the parameters say."""
    if "psnr" in asked:
        return _by_psnr(turner, asked["psnr"])
    if not asked and turner.knob.name in turner.given:
        return turner.trial()
    wanted = asked.get("mbps", DEFAULT_MBPS)
    trials: dict[int, Trial] = {}

    def gap(step: int) -> float:
        trials[step] = turner.trial(step)
        return math.log(trials[step].mbps / wanted)
    return trials[_closest(turner, gap)]


def _closest(turner: Turner, gap: Callable[[int], float]) -> int:
    near = math.log1p(RATE_TOLERANCE)
    return closest(gap, 0, turner.knob.steps, near=lambda value: abs(value) <= near, tries=TRIES)


def _by_psnr(turner: Turner, wanted: float) -> Trial:
    trials: dict[int, Trial] = {}

    def gap(step: int) -> float:
        trials[step] = turner.trial(step, psnr=True)
        return (trials[step].psnr_y_db or 0.0) - wanted
    best = trials[lowest_rate(gap, 0, turner.knob.steps, near=lambda value: 0 <= value <= PSNR_TOLERANCE_DB,
                              tries=TRIES)]
    if best.psnr_y_db is None or best.psnr_y_db < wanted:
        raise UserError(f"{turner.family} reaches {best.psnr_y_db:.2f} dB on this source, not {wanted:g}; ask for less")
    return best
