"""Search spaces: what a designer may vary. Pure data, so that any designer can read any track's space."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import msgspec

Value = bool | int | float | str


class When(msgspec.Struct, frozen=True):
    """A dimension exists only where an earlier one has one of these values."""

    name: str
    values: tuple[Value, ...]


class Choice(msgspec.Struct, frozen=True, kw_only=True, tag="choice"):
    name: str
    values: tuple[Value, ...]
    when: When | None = None

    def sample(self, rng: Random) -> Value:
        return rng.choice(self.values)

    def holds(self, value: Value) -> bool:
        return any(value == v and type(value) is type(v) for v in self.values)

    def range(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"


class Integer(msgspec.Struct, frozen=True, kw_only=True, tag="integer"):
    name: str
    low: int
    high: int  # inclusive
    step: int = 1
    when: When | None = None

    def sample(self, rng: Random) -> Value:
        return rng.randrange(self.low, self.high + 1, self.step)

    def holds(self, value: Value) -> bool:
        return type(value) is int and self.low <= value <= self.high and (value - self.low) % self.step == 0

    def range(self) -> str:
        steps = f" in steps of {self.step}" if self.step != 1 else ""
        return f"a whole number from {self.low} to {self.high}{steps}"


class Real(msgspec.Struct, frozen=True, kw_only=True, tag="real"):
    name: str
    low: float
    high: float
    log: bool = False
    digits: int = 4  # values are rounded to this many significant digits, so that equal specs have equal fingerprints
    when: When | None = None

    def sample(self, rng: Random) -> Value:
        draw = self.low * (self.high / self.low) ** rng.random() if self.log else rng.uniform(self.low, self.high)
        return self.rounded(draw)

    def rounded(self, value: float) -> float:
        return min(max(float(f"{value:.{self.digits}g}"), self.low), self.high)

    def holds(self, value: Value) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high

    def range(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


Dimension = Choice | Integer | Real


def pinned(space: tuple[Dimension, ...], values: Mapping[str, Value]) -> tuple[Dimension, ...]:
    """The space in which these dimensions have no other value."""
    return tuple(Choice(name=d.name, values=(values[d.name],), when=d.when) if d.name in values else d for d in space)


def active(dimension: Dimension, chosen: Mapping[str, Value]) -> bool:
    """Whether `dimension` exists, given the values chosen for the dimensions before it."""
    return dimension.when is None or chosen.get(dimension.when.name) in dimension.when.values


def sample(space: tuple[Dimension, ...], rng: Random) -> dict[str, Value]:
    """One point, uniform over each active dimension in order."""
    chosen: dict[str, Value] = {}
    for dimension in space:
        if active(dimension, chosen):
            chosen[dimension.name] = dimension.sample(rng)
    return chosen


def problems(space: tuple[Dimension, ...], params: Mapping[str, Value]) -> list[str]:
    """Why `params` is no point of `space`: one line each, empty if it is one."""
    found = [f"{d.name}={params[d.name]!r} is outside; give {d.range()}" for d in space
             if active(d, params) and d.name in params and not d.holds(params[d.name])]
    found += [f"{d.name} is missing" for d in space if active(d, params) and d.name not in params]
    known = {d.name for d in space if active(d, params)}
    return found + [f"{name} is not a parameter here" for name in params if name not in known]
