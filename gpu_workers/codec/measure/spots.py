"""Whether a decoder gives the frames again that were measured: samples of each, at places that nobody else knows.

By how fast its frames are taken a decoder can tell whether it is measured or timed, and could show good frames to the
one and quick ones to the other. Digests would not do: a decoder of floats may round another way, and keeping every
frame of a film would not do either. So some samples are kept, at places drawn anew for each measurement.
"""

from __future__ import annotations

import secrets

import numpy as np

from gpu_workers.codec.frames import Plane, VideoInfo

PLACES = 256  # a frame
NEAR = 1  # code values by which a sample may differ
SHARE = 0.01  # of all samples that may differ at all


class Spots:
    """`keep` each measured frame; later take the same places of each timed one, and ask for the first that differs."""

    def __init__(self, info: VideoInfo) -> None:
        self._dtype = info.dtype.newbyteorder("<")
        random = np.random.default_rng(secrets.randbits(128))
        self._places = random.integers(info.frame_bytes // info.dtype.itemsize, size=PLACES)
        self._kept = list[Plane]()

    def keep(self, buffer: bytes) -> None:
        self._kept.append(self.of(buffer))

    def of(self, buffer: bytes | bytearray) -> Plane:
        """A frame's samples at these places; `buffer` holds its planar bytes."""
        return np.frombuffer(buffer, self._dtype)[self._places]

    def first_other(self, timed: list[Plane]) -> int | None:
        """The first frame that is not the one that was measured, or None."""
        apart = np.abs(np.subtract(timed, self._kept, dtype=np.int32))
        other = apart.max(axis=1) > NEAR if np.count_nonzero(apart) <= SHARE * apart.size else apart.any(axis=1)
        return int(other.argmax()) if other.any() else None
