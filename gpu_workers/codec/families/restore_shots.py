"""Where a film is cut: shots as ranges of frames, and a shot as frames of its own.

A cut is where the luma of two pictures differs all over: the picture is divided into 4×4 regions, and the histograms of
a region are compared, so that motion inside of a shot, which moves samples about but hardly changes their values, is no
cut. A shot is kept short enough that all that is held of one fits in memory, however long the film.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from gpu_workers.codec.frames import Frame, Frames, Plane, VideoInfo

LEAST_FRAMES = 24  # a shorter shot would pay for its key picture and its filter with too little
MOST_FRAMES = 512  # a multiple of every gop_frames, so that a longer shot gets no key picture that it has not anyway
CUT = 0.4  # of the samples change their place in the histogram, on average over the regions; motion stays under 0.25
_REGIONS = 4  # a side
_BINS = 16
_EVERY = 4  # sample and row that is looked at in a large picture


def shots(frames: Frames) -> list[range]:
    """The shots one after another, from the first frame to the last."""
    starts, last = [0], None
    for number, frame in enumerate(frames):
        now = _histograms(frame.planes[0], frames.info.bit_depth)
        length, left = number - starts[-1], len(frames) - number
        cut = last is not None and min(length, left) >= LEAST_FRAMES and _apart(last, now)
        if cut or length == MOST_FRAMES:
            starts.append(number)
        last = now
    return [range(start, end) for start, end in zip(starts, [*starts[1:], len(frames)], strict=True)]


class Part:
    """Some of the frames of a film, as a film."""

    def __init__(self, frames: Frames, place: range) -> None:
        self._frames, self._place = frames, place

    @property
    def info(self) -> VideoInfo:
        return msgspec.structs.replace(self._frames.info, frames=len(self._place))

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, index: int) -> Frame:
        return self._frames[self._place[index]]

    def __iter__(self) -> Iterator[Frame]:
        if len(self._place) == len(self._frames):
            return iter(self._frames)
        return (self._frames[number] for number in self._place)


def _histograms(luma: Plane, bit_depth: int) -> npt.NDArray[np.float64]:
    """(regions, bins), each region's summing to 1."""
    every = _EVERY if min(luma.shape) >= _EVERY * _EVERY * _REGIONS else 1
    bins = (luma[::every, ::every] >> bit_depth - 4).astype(np.intp)
    rows, columns = (np.arange(size) * _REGIONS // size for size in bins.shape)
    places = (rows[:, None] * _REGIONS + columns) * _BINS + bins
    counts = np.bincount(places.reshape(-1), minlength=_REGIONS**2 * _BINS).reshape(-1, _BINS)
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _apart(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool:
    return float(np.abs(a - b).sum(axis=1).mean() / 2) > CUT
