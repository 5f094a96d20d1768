"""How a training went: the claims that it left, as curves. They come from code that nobody trusts, so they are data.

What is no finite number, or does not belong to the series, is left out; nothing is decided by any of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lab.backend import Store
from lab.errors import AetherError
from lab.experiment import Experiment
from lab.track import Track

MOST_CURVES = 4
LARGEST = 1e15  # as of all claims
MOST_POINTS = 1000
MOST_BYTES = 4 << 20
PLACES = ("step", "seconds")  # what a curve is drawn over: the first that every point has
BESIDE = ("steps", "clip", "share")  # claims of how far it is, which are no curve
FIRST = "loss"


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One claim over the steps, or the seconds, of the training."""

    name: str
    over: str
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        return self.points[-1][1]


def curves(experiment: Experiment, track: Track, store: Store) -> tuple[Curve, ...]:
    """The loss first. None where nothing was trained, or what it left is gone or no series."""
    phase, _, output = track.training.partition("/")
    left = experiment.checkpoints.get(phase)
    hash = left.outputs.get(output) if left else None
    if hash is None:
        return ()
    try:
        if store.fetch(hash).stat().st_size > MOST_BYTES:
            return ()
        claims = msgspec.json.decode(store.read(hash), type=list[dict[str, Any]])
    except (AetherError, OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return drawn(claims[:MOST_POINTS])


def drawn(claims: Sequence[Mapping[str, Any]]) -> tuple[Curve, ...]:
    over = next((place for place in PLACES if claims and all(_finite(claim.get(place)) for claim in claims)), None)
    if over is None:
        return ()
    names = dict.fromkeys(name for claim in claims for name in claim if name not in (*PLACES, *BESIDE))
    ordered = sorted(names, key=lambda name: name != FIRST)
    found = [Curve(name=name, over=over, points=tuple((float(c[over]), float(c[name])) for c in claims
                                                      if _finite(c.get(name)))) for name in ordered]
    return tuple(curve for curve in found if len(curve.points) > 1)[:MOST_CURVES]


def _finite(value: Any) -> bool:
    """Numbers as JSON has them may be longer than any float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
