"""The families that have one knob for their rate, and what they are set to for a person who says no more.

Plain data: a knob is a dimension of the family's space that takes bytes away as it rises, and how finely it is turned.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gpu_workers.codec.families.hyperprior_space import SPACE as HYPERPRIOR
from gpu_workers.codec.families.restore_space import SPACE as RESTORE
from lab.space import Dimension, Real, Value, active


class Knob(msgspec.Struct, frozen=True, kw_only=True):
    """`name` in `space`; `steps` from one end to the other. `plain` are the other dimensions' values where nobody asks
    for another; it is empty where they go by what a model was trained for."""

    name: str
    steps: int
    space: tuple[Dimension, ...]
    plain: Mapping[str, Value] = {}

    def value(self, step: int) -> float:
        """Evenly over its range, in logarithms where it is logarithmic."""
        one = next(d for d in self.space if isinstance(d, Real) and d.name == self.name)
        share, width = step / self.steps, one.high - one.low
        return one.rounded(one.low * (one.high / one.low) ** share if one.log else one.low + width * share)

    def point(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """A whole point of the space: what is given, and the plain value of each other dimension that is active."""
        found: dict[str, Value] = {}
        for dimension in self.space:
            value = given.get(dimension.name, self.plain.get(dimension.name))
            if value is not None and active(dimension, found):
                found[dimension.name] = value
        return found | {name: value for name, value in given.items() if name not in found}


KNOBS: Mapping[str, Knob] = {
    "hyperprior": Knob(name="step", steps=98, space=HYPERPRIOR),  # a 28th of an octave each
    "restore": Knob(name="crf", steps=220, space=RESTORE, plain={
        "scale": "auto", "gop_frames": 256, "bit_depth": 10, "channels": 16, "mode": "overfitted", "steps": 1000}),
}
