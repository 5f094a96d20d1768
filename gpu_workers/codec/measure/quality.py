"""Distortion of decoded frames against the original, taken in step with the decoder: no disk, no film in memory.

Frames are paired by index. Unequal counts, sizes, depths or ranges are an error (BadFrames), never a resize. A metric
that cannot be had is None with its reason, never zero and never NaN. See `psnr`, `perceptual` and `lpips` for the
definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Protocol

import msgspec
import numpy as np

from gpu_workers.codec.frames import BadFrames, Frame, VideoInfo, check_layout, check_range, describe
from gpu_workers.codec.measure import lpips as lpips_metric
from gpu_workers.codec.measure.perceptual import MODELS, Perceptual, too_small
from gpu_workers.codec.measure.psnr import frame_mse, psnr_db, yuv611_db
from gpu_workers.codec.video import FrameReader
from lab.errors import UserError

_NO_CHROMA = "the video is grey: it has no chroma"
_NOT_ASKED = "not asked for"


class Reference(Protocol):
    """The original: its layout, known before counting, and its frames."""

    @property
    def format(self) -> VideoInfo: ...
    def __iter__(self) -> Iterator[Frame]: ...


class QualityResult(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the frames and the values of each frame, by the metrics' names. What is None has its reason in `why`.

    `psnr_y_db` is the mean of the frames' PSNR; `psnr_y_mse_db` the PSNR of the mean MSE, never above it.
    """

    frames: int
    mean: dict[str, float | None]
    per_frame: dict[str, list[float]]
    why: dict[str, str] = {}
    models: dict[str, str] = {}  # vmaf, vmaf_neg → the model's name
    note: str = ""  # what was done to the frames before they were measured

    def worst_frames(self, count: int = 3, metric: str = "psnr_y_db") -> list[int]:
        values = self.per_frame.get(metric, [])
        return sorted(range(len(values)), key=values.__getitem__)[:count]


class Quality:
    """`with Quality(reference, info) as q: for frame in decoded: q.add(frame)`, then `q.result()` inside the `with`.

    `info` is the distorted video's layout. `vmaf=False` leaves libvmaf out; `extras=False` leaves out what is slow:
    MS-SSIM, VMAF NEG and LPIPS. `threads` are the ffmpeg child's.
    """

    def __init__(
        self, reference: Reference, info: VideoInfo, *, threads: int = 1, vmaf: bool = True, extras: bool = True
    ) -> None:
        _check_same_layout(reference.format, info)
        self._info = info
        self._reference = iter(reference)
        self._mse: list[tuple[float, ...]] = []
        self._why: dict[str, str] = {}
        self._metrics = self._choose(vmaf, extras)
        self._threads = threads
        self._perceptual: Perceptual | None = None
        self._lpips = self._open_lpips(extras)
        self._lpips_values: list[float] = []
        self._stack = ExitStack()

    def __enter__(self) -> Quality:
        if self._metrics:
            self._perceptual = self._stack.enter_context(Perceptual(self._info, self._metrics, self._threads))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def add(self, frame: Frame) -> None:
        """The next decoded frame. Raises BadFrames where it has no partner, or is not of the promised layout and range.
        """
        check_range(check_layout(frame, self._info), self._info)
        original = next(self._reference, None)
        if original is None:
            raise BadFrames(f"more frames were decoded than the original has, {len(self._mse)}; they must pair up")
        if self._perceptual is not None:
            self._perceptual.add(original.planes[0], frame.planes[0])
        self._mse.append(frame_mse(original, frame))
        if self._lpips is not None:
            self._lpips_values.append(self._lpips(original, frame))

    def result(self) -> QualityResult:
        count = len(self._mse)
        missing = sum(1 for _ in self._reference)
        if missing or not count:
            raise BadFrames(f"{count} frames were decoded of the original's {count + missing}; they must pair up")
        per_frame, mean = self._psnr()
        if self._perceptual is not None:
            per_frame |= self._perceptual.finish(count)
        if self._lpips is not None:
            per_frame["lpips"] = self._lpips_values
        mean |= {name: fmean(values) for name, values in per_frame.items()}
        return QualityResult(
            frames=count,
            mean={name: mean.get(name) for name in (*mean, *self._why)},
            per_frame=per_frame,
            why=self._why,
            models={name: MODELS[name] for name in MODELS if name in per_frame},
        )

    def _choose(self, vmaf: bool, extras: bool) -> frozenset[str]:
        """The metrics that the ffmpeg child computes; the others get their reason."""
        chosen = {"ssim": True, "vmaf": vmaf, "vmaf_neg": vmaf and extras, "ms_ssim": vmaf and extras}
        for name, asked in chosen.items():
            reason = too_small(self._info, name) if asked else _NOT_ASKED
            if reason:
                self._why[name] = reason
        return frozenset(chosen) - self._why.keys()

    def _open_lpips(self, extras: bool) -> Callable[[Frame, Frame], float] | None:
        if not extras:
            self._why["lpips"] = _NOT_ASKED
            return None
        found = lpips_metric.open_lpips(self._info)
        if isinstance(found, str):
            self._why["lpips"] = found
            return None
        return found

    def _psnr(self) -> tuple[dict[str, list[float]], dict[str, float | None]]:
        depth = self._info.bit_depth
        planes = [[psnr_db(mse, depth) for mse in plane] for plane in zip(*self._mse, strict=True)]
        per_frame = {"psnr_y_db": planes[0]}
        if len(planes) == 3:
            per_frame |= {"psnr_u_db": planes[1], "psnr_v_db": planes[2]}
            per_frame["psnr_yuv611_db"] = [yuv611_db(*frame) for frame in zip(*planes, strict=True)]
        else:
            self._why |= dict.fromkeys(("psnr_u_db", "psnr_v_db", "psnr_yuv611_db"), _NO_CHROMA)
        return per_frame, {"psnr_y_mse_db": psnr_db(fmean(mse[0] for mse in self._mse), depth)}


def compare(
    reference: str | Path,
    distorted: str | Path,
    *,
    threads: int = 1,
    vmaf: bool = True,
    extras: bool = True,
    progress: Callable[[int], None] | None = None,
) -> QualityResult:
    """Measure one file against another. Where only their bit depth differs, the distorted one takes the original's.

    `progress` is told how many frames are done. Raises UserError where the files do not pair up.
    """
    original, copy = FrameReader(reference), FrameReader(distorted)
    info = msgspec.structs.replace(copy.format, pix_fmt=_at_depth(copy.format, original.format.bit_depth))
    try:
        with Quality(original, info, threads=threads, vmaf=vmaf, extras=extras) as quality:
            for done, frame in enumerate(copy, 1):
                quality.add(_requantised(frame, copy.format.bit_depth, info.bit_depth))
                if progress is not None:
                    progress(done)
            return msgspec.structs.replace(quality.result(), note=_depth_note(copy.format, info))
    except BadFrames as error:
        raise UserError(f"{distorted} cannot be compared with {reference}: {error}") from error


def _at_depth(info: VideoInfo, bit_depth: int) -> str:
    return info.pix_fmt.removesuffix("10le") + ("10le" if bit_depth == 10 else "")


def _depth_note(info: VideoInfo, wanted: VideoInfo) -> str:
    if info.bit_depth == wanted.bit_depth:
        return ""
    return f"the distorted frames were brought from {info.bit_depth} to {wanted.bit_depth} bit"


def _requantised(frame: Frame, depth: int, wanted: int) -> Frame:
    """8 bit to 10 exactly (×4); 10 to 8 rounded to the nearest."""
    if depth == wanted:
        return frame
    if depth == 8:
        return Frame(tuple(np.left_shift(plane, 2, dtype=np.uint16) for plane in frame.planes))
    return Frame(tuple((np.minimum(plane, 1021) + 2 >> 2).astype(np.uint8) for plane in frame.planes))


def _check_same_layout(original: VideoInfo, distorted: VideoInfo) -> None:
    keys = ("width", "height", "pix_fmt", "full_range")
    if any(getattr(original, key) != getattr(distorted, key) for key in keys):
        raise BadFrames(
            f"the original is {describe(original)}, the other {describe(distorted)}; encode it as the original is"
        )
