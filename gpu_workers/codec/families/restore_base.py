"""The codings of a shot that a filter may stand on: SVT-AV1 at full or reduced size, and what each is worth.

Each trial is coded, decoded again and measured in PSNR-Y against the source. Where the size is to be found, the smaller
sizes are coded at about the bytes of the full one. What anything is worth is read off the rate-distortion curve of the
coding that was asked for: the bytes that it would need for the same PSNR-Y.
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
from gpu_workers.codec.families.restore_fit import Half, Pairs
from gpu_workers.codec.families.restore_space import PRESET
from gpu_workers.codec.frames import VideoInfo
from gpu_workers.codec.measure.psnr import mse, psnr_db
from lab.space import Value

OVERHEAD = 8  # the container's bytes a chunk
PAIR_BYTES = 256 << 20  # of pictures that a fitting holds
LOWEST_CRF, HIGHEST_CRF = 15.0, 70.0
FIRST_GUESS = {"full": 0.0, "2/3": -6.0, "1/2": -12.0}  # crf for about the rate of the full size
_HOPELESS = -0.25  # log of bytes: a size that loses so much without a filter does not win with one
_NEAR = 0.03
_TRIES = 4


@dataclass(frozen=True)
class Base:
    """One coding of a shot: its chunks, CONFIG first, all of its bytes, and the mean PSNR-Y without a filter."""

    scale: str
    crf: float
    coding: Coding
    chunks: tuple[Chunk, ...]
    psnr_y_db: float

    @property
    def bytes(self) -> int:
        return sum(len(chunk.data) + OVERHEAD for chunk in self.chunks)


@dataclass(frozen=True)
class Curve:
    """Two codings at the size that was asked for, and what lies between them and near."""

    asked: Base
    steepness: float  # d log bytes / d dB

    def saving(self, bytes: float, psnr_y_db: float) -> float:
        """Log of the bytes that the curve takes for this PSNR-Y over those that were taken: above 0 they are fewer."""
        return self.steepness * (psnr_y_db - self.asked.psnr_y_db) - math.log(bytes / self.asked.bytes)


Code = Callable[[str, float], Base]  # from a scale and a crf


def bases(frames: Frames, info: EncodeInfo) -> tuple[Curve, list[Base]]:
    """The curve of the size that was asked for (the full one where it is to be found), and its coding at the asked
    crf, followed by the best of each smaller size that comes near it."""
    code: Code = partial(coded, frames, info)
    asked, crf = str(info.params["scale"]), float(info.params["crf"])
    first = code("full" if asked == "auto" else asked, crf)
    second = code(first.scale, crf + 2 if crf <= HIGHEST_CRF - 2 else crf - 2)
    curve = Curve(first, steepness(first, second))
    found = [first]
    if asked == "auto":
        smaller = [scale for scale in FIRST_GUESS if _coding(scale, info) != first.coding]
        found += [base for scale in smaller if (base := _at_rate(code, scale, curve)) is not None]
    return curve, found


def _at_rate(code: Code, scale: str, curve: Curve) -> Base | None:
    """The coding at a smaller size that has about the asked one's bytes, or None where that is hopeless."""
    found: list[Base] = []
    ask = curve.asked.crf + FIRST_GUESS[scale]
    while len(found) < _TRIES:
        ask = min(max(round(ask * 4) / 4, LOWEST_CRF), HIGHEST_CRF)
        if any(base.crf == ask for base in found):
            break
        found.append(code(scale, ask))
        gap = math.log(found[-1].bytes / curve.asked.bytes)
        if curve.saving(found[-1].bytes, found[-1].psnr_y_db) < _HOPELESS:
            return None
        if abs(gap) <= _NEAR:
            break
        ask += gap / _per_crf(found)
    return min(found, key=lambda base: abs(math.log(base.bytes / curve.asked.bytes)))


def _per_crf(found: list[Base]) -> float:
    """How much of log bytes a crf is; a guess before two points are known."""
    if len(found) < 2:
        return 0.1
    (a, b) = found[-2:]
    return min(max(-math.log(a.bytes / b.bytes) / (a.crf - b.crf), 0.02), 0.4)


def steepness(a: Base, b: Base) -> float:
    """d log bytes / d dB between two codings; 0.05 … 1 whatever they say."""
    rise = a.psnr_y_db - b.psnr_y_db
    return min(max(math.log(a.bytes / b.bytes) / rise if rise else 0.25, 0.05), 1.0)


def coded(frames: Frames, info: EncodeInfo, scale: str, crf: float) -> Base:
    own = msgspec.structs.replace(info, params=_params(scale, crf, info))
    chunks = tuple(classic.encode(frames, own, None))
    coding = Coding.from_bytes(chunks[0].data)
    plain = partial(to_source, coding=coding, video=info.video)
    return Base(scale, crf, coding, chunks, psnr_y_db(frames, map(plain, _contents(chunks, coding, info)), info.video))


def _params(scale: str, crf: float, info: EncodeInfo) -> Mapping[str, Value]:
    return as_people_run("svtav1", svtav1_crf=crf, svtav1_preset=PRESET, scale=scale,
                         gop_frames=info.params["gop_frames"], bit_depth=info.params["bit_depth"])


def _coding(scale: str, info: EncodeInfo) -> Coding:
    return coding_for(_params(scale, HIGHEST_CRF, info), info.video)


def base_contents(base: Base, info: EncodeInfo) -> Iterator[Frame]:
    """The coded pictures, at the size in which they were coded."""
    return _contents(base.chunks, base.coding, info)


def _contents(chunks: tuple[Chunk, ...], coding: Coding, info: EncodeInfo) -> Iterator[Frame]:
    decoder = open_decoder(coding, info.threads)
    for chunk in (*chunks[1:], None):
        yield from contents(decoder, chunk, coding)


def psnr_y_db(frames: Frames, decoded: Iterable[Frame], video: VideoInfo) -> float:
    return fmean(psnr_db(mse(a.planes[0], b.planes[0]), video.bit_depth) for a, b in zip(frames, decoded, strict=True))


def pairs(frames: Frames, info: EncodeInfo, base: Base, most_bytes: int = PAIR_BYTES) -> Pairs:
    """Coded and original pictures, evenly over the shot, as many as may be held in memory."""
    each = 4 * sum(rows * columns for rows, columns in info.video.plane_shapes)  # two of 16 bit samples
    every = math.ceil(len(frames) / max(2, most_bytes // each))
    picked = ((frame, content) for index, (frame, content)
              in enumerate(zip(frames, base_contents(base, info), strict=True)) if index % every == 0)
    return Pairs.of((_pair(frame, content, base, info.video) for frame, content in picked), -(-len(frames) // every))


def _pair(frame: Frame, content: Frame, base: Base, video: VideoInfo) -> tuple[Half, Half]:
    planes = tuple(to_depth(plane, video.bit_depth, BITS) for plane in frame.planes)
    return to_half(enlarged(content, base.coding, video)), to_half(planes)
