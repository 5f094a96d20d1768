"""Coding one source until its rate, or its PSNR, is the one asked for.

Short sources are searched on the encoder's constant quality, which spends bits best; long ones, and encoders whose
quality steps are too coarse, go by the encoder's own rate control, asked again by how much it missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from gpu_workers.codec.decoder.decode import Decoded
from gpu_workers.codec.encoding import encode_stream
from gpu_workers.codec.families.classic_space import QUALITY_KNOBS, SPACE, as_people_run
from gpu_workers.codec.frames import Frame, Frames, VideoInfo
from gpu_workers.codec.measure.psnr import mse, psnr_db
from gpu_workers.codec.operating_point import closest, lowest_rate
from lab.canonical import sha256
from lab.errors import UserError
from lab.space import Integer, Real, Value, problems

Progress = Callable[[str, float], None]  # what is being done, and how much of it (0 … 1) is
DEFAULT_MBPS = 1.0
RATE_TOLERANCE = 0.03
PSNR_TOLERANCE_DB = 0.05
LONG_S = 20.0  # a source longer than this is coded by average rate: a search would code it many times
_TRIES = 9
_RATE_TRIES = 3
_STEPS: Mapping[str, float] = {"x265_crf": 0.1, "svtav1_crf": 0.25, "vvenc_qp": 1}


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    params: dict[str, Value]
    mbps: float
    psnr_y_db: float | None


class Coder:
    """Codes one source with one encoder at various settings, into files of its own folder."""

    def __init__(self, frames: Frames, folder: Path, params: dict[str, Value], threads: int,
                 progress: Progress | None) -> None:
        self._frames = frames
        self._folder = folder
        self.given = params
        self._threads = threads
        self._progress = progress
        self.encoder = str(params.get("encoder", "svtav1"))
        if self.encoder not in QUALITY_KNOBS:
            raise UserError(f"no encoder {self.encoder!r}; there are {', '.join(QUALITY_KNOBS)}")
        if foreign := [name for name in params if not _belongs(name, self.encoder)]:
            own = ", ".join(d.name for d in SPACE if _belongs(d.name, self.encoder))
            raise UserError(f"{foreign[0]!r} is no parameter of {self.encoder}; there are {own}")
        self.encodings = 0

    def trial(self, rate: Mapping[str, Value], psnr: bool = False) -> Trial:
        params = as_people_run(self.encoder, **{**self.given, **rate})
        if wrong := problems(SPACE, params):
            raise UserError(wrong[0])
        self.encodings += 1
        path = self._folder / f"{self.encodings}.aec"
        watched = Watched(self._frames, self._frames.info, f"encoding ({self.encodings})", self._progress)
        record = encode_stream(watched, path, "classic", params, 0, self._threads)
        mbps = record.bytes * 8e-6 / self._frames.info.duration_s
        worth = decoded_psnr_y_db(self._frames, path, self._threads) if psnr else None
        return Trial(path=path, params=params, mbps=mbps, psnr_y_db=worth)


def decoded_psnr_y_db(frames: Frames, path: Path, threads: int, model: Path | None = None) -> float:
    """Mean over the frames that the stream decodes to, against the originals."""
    models = {sha256(model.read_bytes()): model} if model else {}
    with open(path, "rb") as file:
        pairs = zip(frames, Decoded(file, threads=threads, models=models), strict=True)
        values = [psnr_db(mse(original.planes[0], coded.planes[0]), frames.info.bit_depth) for original, coded in pairs]
    return sum(values) / len(values)


def find(coder: Coder, video: VideoInfo, asked: Mapping[str, float]) -> Trial:
    """The best trial for `asked`: one of `mbps`, `crf` and `psnr`, or nothing for what the parameters say."""
    given_rate = any(name in coder.given for name in _rate_names(coder.encoder))
    if "crf" in asked:
        mode, knob = QUALITY_KNOBS[coder.encoder]
        value: Value = round(asked["crf"]) if mode == "qp" else float(asked["crf"])
        return coder.trial({f"{coder.encoder}_rate": mode, knob: value})
    if "psnr" in asked:
        return _by_psnr(coder, asked["psnr"])
    if not asked and given_rate:
        return coder.trial({})
    wanted = asked.get("mbps", DEFAULT_MBPS)
    trials = [] if video.duration_s > LONG_S else [_by_quality(coder, wanted)]
    if not trials or not _near(trials[0].mbps, wanted):
        trials += _by_rate(coder, wanted)
    return min(trials, key=lambda trial: abs(math.log(trial.mbps / wanted)))


def _by_quality(coder: Coder, wanted: float) -> Trial:
    trials: dict[int, Trial] = {}

    def gap(step: int) -> float:
        trials[step] = coder.trial(_quality(coder.encoder, step))
        return math.log(trials[step].mbps / wanted)

    low, high = _steps(coder.encoder)
    return trials[closest(gap, low, high, near=lambda value: abs(value) <= math.log1p(RATE_TOLERANCE), tries=_TRIES)]


def _by_psnr(coder: Coder, wanted: float) -> Trial:
    trials: dict[int, Trial] = {}

    def gap(step: int) -> float:
        trials[step] = coder.trial(_quality(coder.encoder, step), psnr=True)
        return (trials[step].psnr_y_db or 0.0) - wanted

    low, high = _steps(coder.encoder)
    best = trials[lowest_rate(gap, low, high, near=lambda value: 0 <= value <= PSNR_TOLERANCE_DB, tries=_TRIES)]
    if best.psnr_y_db is None or best.psnr_y_db < wanted:
        raise UserError(f"{coder.encoder} reaches {best.psnr_y_db:.2f} dB on this source, not {wanted:g}; ask for less")
    return best


def _by_rate(coder: Coder, wanted: float) -> list[Trial]:
    """By the encoder's own rate control, asked again for as much less or more as it missed by."""
    trials: list[Trial] = []
    dimension = _dimension(f"{coder.encoder}_mbps")
    ask = wanted
    while len(trials) < _RATE_TRIES and not any(_near(trial.mbps, wanted) for trial in trials):
        ask = dimension.rounded(ask)
        trials.append(coder.trial({f"{coder.encoder}_rate": "mbps", f"{coder.encoder}_mbps": ask}))
        ask *= wanted / trials[-1].mbps
    return trials


def _belongs(name: str, encoder: str) -> bool:
    owner = name.partition("_")[0]
    return any(d.name == name for d in SPACE) and (owner == encoder or owner not in QUALITY_KNOBS)


def _near(mbps: float, wanted: float) -> bool:
    return abs(mbps / wanted - 1) <= RATE_TOLERANCE


def _rate_names(encoder: str) -> tuple[str, ...]:
    return tuple(f"{encoder}_{mode}" for mode in ("crf", "qp", "mbps"))


def _quality(encoder: str, step: int) -> dict[str, Value]:
    mode, knob = QUALITY_KNOBS[encoder]
    value: Value = step if mode == "qp" else round(step * _STEPS[knob], 2)
    return {f"{encoder}_rate": mode, knob: value}


def _steps(encoder: str) -> tuple[int, int]:
    knob = QUALITY_KNOBS[encoder][1]
    dimension = next(d for d in SPACE if d.name == knob)
    assert isinstance(dimension, (Real, Integer))
    return round(dimension.low / _STEPS[knob]), round(dimension.high / _STEPS[knob])


def _dimension(name: str) -> Real:
    return next(dimension for dimension in SPACE if isinstance(dimension, Real) and dimension.name == name)


class Watched(Frames):
    """Frames that tell how far a reader of theirs has come."""

    def __init__(self, frames: Iterable[Frame], info: VideoInfo, what: str, progress: Progress | None) -> None:
        self._frames = frames
        self._info = info
        self._what = what
        self._progress = progress
        self.count = 0

    @property
    def info(self) -> VideoInfo:
        return self._info

    def __len__(self) -> int:
        return self._info.frames

    def __getitem__(self, index: int) -> Frame:
        return self._frames[index]  # type: ignore[index,no-any-return]

    def __iter__(self) -> Iterator[Frame]:
        self.count = 0
        for frame in self._frames:
            yield frame
            self.count += 1
            if self._progress is not None:
                self._progress(self._what, self.count / max(1, self._info.frames))


