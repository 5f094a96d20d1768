"""`aether codec bench`: rate-distortion points and BD-rates of encoders on clips, from the same frames, container and
metric code as every experiment.

A point is measured once and then kept in a folder under the hash of all that decides it: clip, parameters, protocol,
encoder binary. BD-rates stand for each sequence and, as their mean, for the set; one that cannot be had is None, and
says why.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import msgspec

from gpu_workers.codec.encoding import encode_stream
from gpu_workers.codec.ladders import ANCHORS, LADDERS, Ladder
from gpu_workers.codec.measure.bdrate import Delta, bd_rate
from gpu_workers.codec.measuring import measure
from gpu_workers.codec.spec import PROTOCOL
from gpu_workers.codec.video import FrameReader
from gpu_workers.machine import MachineLock
from lab.canonical import fingerprint
from lab.errors import UserError
from lab.space import Value

Progress = Callable[[str, float], None]  # what is being done, and how much of it all (0 … 1) is


class RdPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One clip at one setting: rate by all bytes of the container, means over the frames."""

    bytes: int
    bitrate_mbps: float
    psnr_y_db: float
    quality: dict[str, float | None]
    why: dict[str, str] = {}
    encode_cpu_s: float = 0.0


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    sequence: str
    ladder: str
    points: tuple[RdPoint, ...]

    @property
    def rd(self) -> list[tuple[float, float]]:
        return [(point.bitrate_mbps, point.psnr_y_db) for point in self.points]


class BdRate(msgspec.Struct, frozen=True, kw_only=True):
    """Percent of rate against `anchor` at equal PSNR-Y, negative is a saving; `sequence` None is the set's mean."""

    ladder: str
    anchor: str
    sequence: str | None
    delta: Delta


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    curves: tuple[Curve, ...]
    bd_rates: tuple[BdRate, ...]

    def over_the_set(self, ladder: str, anchor: str) -> Delta:
        return next(one.delta for one in self.bd_rates
                    if (one.ladder, one.anchor, one.sequence) == (ladder, anchor, None))


def bench(clips: Sequence[Path], encoders: Sequence[Ladder] = LADDERS, *, cache: Path, threads: int = 1,
          anchors: Sequence[str] = ANCHORS, progress: Progress | None = None,
          machine: MachineLock | None = None) -> Bench:
    """Measures what is not in `cache` yet. Each clip is a sequence under its file's name; two of one name are an
    error. Anchors that are not among `encoders` are left out of the comparison."""
    names = [clip.stem for clip in clips]
    if len(set(names)) < len(names):
        raise UserError(f"two clips have the same name: {', '.join(names)}; rename one")
    work = _Work(cache, threads, progress, len(clips) * sum(len(one.points) for one in encoders), machine)
    curves = tuple(work.curve(clip, one) for clip in clips for one in encoders)
    against = [name for name in anchors if any(one.name == name for one in encoders)]
    return Bench(curves=curves, bd_rates=_compare(curves, names, [one.name for one in encoders], against))


class _Work:
    """Measures points, or finds them in the cache."""

    def __init__(self, cache: Path, threads: int, progress: Progress | None, total: int,
                 machine: MachineLock | None) -> None:
        self._cache, self._threads, self._total = cache, threads, total
        self._progress, self._machine = progress, machine or MachineLock()
        self._done = 0
        cache.mkdir(parents=True, exist_ok=True)

    def curve(self, clip: Path, ladder: Ladder) -> Curve:
        frames, content = FrameReader(clip), _content(clip)
        return Curve(sequence=clip.stem, ladder=ladder.name,
                     points=tuple(self._point(frames, content, ladder, params) for params in ladder.points))

    def _point(self, frames: FrameReader, content: str, ladder: Ladder, params: Mapping[str, Value]) -> RdPoint:
        if self._progress is not None:
            self._progress(f"{frames.path.stem} {ladder.name}", self._done / self._total)
        kept = self._cache / f"{_key(content, ladder.family, params)}.json"
        point = _read(kept)
        if point is None:
            with self._machine.shared():
                point = _measured(frames, ladder.family, params, self._threads)
            _keep(kept, point)
        self._done += 1
        return point


def _measured(frames: FrameReader, family: str, params: Mapping[str, Value], threads: int) -> RdPoint:
    with TemporaryDirectory() as folder:
        path = Path(folder, "point.aec")
        record = encode_stream(frames, path, family, params, 0, threads)
        found = measure(frames, path, threads, lambda _: None)
    psnr_y_db = found.quality.mean["psnr_y_db"]
    assert psnr_y_db is not None  # luma is always there
    return RdPoint(bytes=found.stream.bytes, bitrate_mbps=found.bitrate_mbps, psnr_y_db=psnr_y_db,
                   quality=found.quality.mean, why=found.quality.why, encode_cpu_s=record.cpu_s)


def _content(clip: Path) -> str:
    """SHA-256 of the file. Raises UserError where it cannot be read."""
    try:
        with open(clip, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{clip} cannot be read: {error.strerror}; check the path") from None


def _key(content: str, family: str, params: Mapping[str, Value]) -> str:
    return fingerprint({"clip": content, "family": family, "params": dict(params), "protocol": PROTOCOL,
                        "encoders": version("imageio-ffmpeg")})


def _read(kept: Path) -> RdPoint | None:
    """A kept point; one that was half written, or by another version, is measured again."""
    try:
        return msgspec.json.decode(kept.read_bytes(), type=RdPoint)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _keep(kept: Path, point: RdPoint) -> None:
    aside = kept.with_suffix(f".{os.getpid()}.part")
    aside.write_bytes(msgspec.json.encode(point))
    os.replace(aside, kept)


def _compare(curves: Sequence[Curve], sequences: Sequence[str], ladders: Sequence[str],
             anchors: Sequence[str]) -> tuple[BdRate, ...]:
    rd = {(curve.sequence, curve.ladder): curve.rd for curve in curves}
    found: list[BdRate] = []
    for anchor in anchors:
        for ladder in ladders:
            deltas = {sequence: bd_rate(rd[sequence, anchor], rd[sequence, ladder]) for sequence in sequences}
            found += [BdRate(ladder=ladder, anchor=anchor, sequence=sequence, delta=delta)
                      for sequence, delta in deltas.items()]
            found.append(BdRate(ladder=ladder, anchor=anchor, sequence=None, delta=_set_mean(deltas)))
    return tuple(found)


def _set_mean(deltas: Mapping[str, Delta]) -> Delta:
    """The mean over the sequences, as in the common test conditions of JCT-VC; none is left out silently."""
    gaps = [f"{sequence}: {delta.why}" for sequence, delta in deltas.items() if delta.value is None]
    if gaps or not deltas:
        return Delta(value=None, why="; ".join(gaps) or "there are no sequences")
    notes = [f"{sequence}: {delta.note}" for sequence, delta in deltas.items() if delta.note]
    return Delta(value=fmean(delta.value for delta in deltas.values() if delta.value is not None),
                 note="; ".join(notes), overlap=min(delta.overlap for delta in deltas.values()))
