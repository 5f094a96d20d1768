"""The codings of a clip that a filter may stand on: SVT-AV1 at full or reduced size, and what each is worth.

Each trial is coded, decoded again and measured in PSNR-Y against the source. Where the size is to be found, the smaller
sizes are coded at about the bytes of the full one, and the best PSNR-Y there is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import msgspec

from gpu_workers.codec.contract import Chunk, EncodeInfo, Frame, Frames
from gpu_workers.codec.decoder.classic import Coding, contents, open_decoder, to_source
from gpu_workers.codec.decoder.resample import to_depth
from gpu_workers.codec.decoder.restore import enlarged
from gpu_workers.codec.decoder.restore_filter import BITS, to_half
from gpu_workers.codec.families import classic
from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.families.pictures import coding_for
from gpu_workers.codec.families.restore_fit import Pairs, pairs_of
from gpu_workers.codec.families.restore_space import PRESET
from gpu_workers.codec.frames import VideoInfo
from gpu_workers.codec.measure.psnr import mse, psnr_db
from lab.space import Value

OVERHEAD = 8  # the container's bytes a chunk
PAIR_BYTES = 400 << 20  # of pictures that a fitting holds
_LOW, _HIGH = 15.0, 70.0
_FIRST_GUESS = {"2/3": -6.0, "1/2": -12.0}  # crf for about the rate of the full size
_STEEPNESS = 0.1  # of log bytes a crf, before two points are known
_NEAR = 0.03
_TRIES = 4


@dataclass(frozen=True)
class Base:
    """One coding of the clip: its chunks, CONFIG first, all of its bytes, and the mean PSNR-Y without a filter."""

    scale: str
    crf: float
    coding: Coding
    chunks: tuple[Chunk, ...]
    psnr_y_db: float

    @property
    def bytes(self) -> int:
        return sum(len(chunk.data) + OVERHEAD for chunk in self.chunks)


Code = Callable[[str, float], Base]  # from a scale and a crf


def best_base(frames: Frames, info: EncodeInfo) -> tuple[Base, float]:
    """The base for `info.params`, and d log bytes / d PSNR-Y of its encoder there."""
    code: Code = partial(coded, frames, info)
    asked, crf = str(info.params["scale"]), float(info.params["crf"])
    full = "full" if asked == "auto" else asked
    tried = {full: [code(full, crf)]}
    if asked == "auto":
        for scale in _FIRST_GUESS:
            if _coding(scale, info) != _coding("full", info):
                tried[scale] = _at_rate(code, scale, crf, tried["full"][0].bytes)
    for one in tried.values():
        if len(one) == 1:
            one.append(code(one[0].scale, one[0].crf + (2 if one[0].crf < _HIGH - 2 else -2)))
    wanted = math.log(tried[full][0].bytes)
    slopes = {scale: _slope(found) for scale, found in tried.items()}

    def at_rate(base: Base) -> float:
        return base.psnr_y_db + (wanted - math.log(base.bytes)) / slopes[base.scale]

    nearest = [min(found, key=lambda base: abs(math.log(base.bytes) - wanted)) for found in tried.values()]
    best = max(nearest, key=at_rate)
    return best, slopes[best.scale]


def _at_rate(code: Code, scale: str, crf: float, wanted: int) -> list[Base]:
    """Trials of a smaller size, the last of which has about the bytes that are wanted."""
    found: list[Base] = []
    ask = crf + _FIRST_GUESS[scale]
    while len(found) < _TRIES:
        ask = min(max(round(ask * 4) / 4, _LOW), _HIGH)
        if any(base.crf == ask for base in found):
            break
        found.append(code(scale, ask))
        gap = math.log(found[-1].bytes / wanted)
        if abs(gap) <= _NEAR and len(found) > 1:
            break
        ask += gap / _per_crf(found)
    return found


def _per_crf(found: list[Base]) -> float:
    if len(found) < 2:
        return _STEEPNESS
    (a, b) = found[-2:]
    return min(max(-math.log(a.bytes / b.bytes) / (a.crf - b.crf), 0.02), 0.4)


def _slope(found: list[Base]) -> float:
    """d log bytes / d dB between the two trials that lie nearest in rate to the last; 0.05 … 1 whatever they say."""
    last = found[-1]
    other = min(found[:-1], key=lambda base: abs(math.log(base.bytes / last.bytes)))
    rise = last.psnr_y_db - other.psnr_y_db
    return min(max(math.log(last.bytes / other.bytes) / rise if rise else 0.25, 0.05), 1.0)


def coded(frames: Frames, info: EncodeInfo, scale: str, crf: float) -> Base:
    own = msgspec.structs.replace(info, params=_params(scale, crf, info))
    chunks = tuple(classic.encode(frames, own, None))
    coding = Coding.from_bytes(chunks[0].data)
    plain = partial(to_source, coding=coding, video=info.video)
    reached_db = psnr_y_db(frames, map(plain, _contents(chunks, coding, info)), info.video)
    return Base(scale, crf, coding, chunks, reached_db)


def _params(scale: str, crf: float, info: EncodeInfo) -> Mapping[str, Value]:
    return as_people_run("svtav1", svtav1_crf=crf, svtav1_preset=PRESET, scale=scale,
                         gop_frames=info.params["gop_frames"], bit_depth=info.params["bit_depth"])


def _coding(scale: str, info: EncodeInfo) -> Coding:
    return coding_for(_params(scale, _HIGH, info), info.video)


def base_contents(base: Base, info: EncodeInfo) -> Iterator[Frame]:
    """The coded pictures, at the size in which they were coded."""
    return _contents(base.chunks, base.coding, info)


def _contents(chunks: tuple[Chunk, ...], coding: Coding, info: EncodeInfo) -> Iterator[Frame]:
    decoder = open_decoder(coding, info.threads)
    for chunk in (*chunks[1:], None):
        yield from contents(decoder, chunk, coding)


def psnr_y_db(frames: Frames, decoded: Iterable[Frame], video: VideoInfo) -> float:
    return fmean(psnr_db(mse(a.planes[0], b.planes[0]), video.bit_depth) for a, b in zip(frames, decoded, strict=True))


def pairs(frames: Frames, info: EncodeInfo, base: Base) -> Pairs:
    """Coded and original pictures, evenly over the clip, as many as may be held in memory."""
    video = info.video
    most = max(2, PAIR_BYTES // (12 * sum(rows * columns for rows, columns in video.plane_shapes) // 3))
    every = math.ceil(len(frames) / most)
    coded, original = [], []
    for index, (frame, content) in enumerate(zip(frames, base_contents(base, info), strict=True)):
        if index % every == 0:
            coded.append(to_half(enlarged(content, base.coding, video)))
            planes = (to_depth(plane, video.bit_depth, BITS) for plane in frame.planes)
            original.append(to_half(tuple(planes)))
    return pairs_of(coded, original)
