"""What a designer is told, and what it answers. Plain values that travel as JSON, so that proposing can live in a
process of its own and an answer can be recorded and replayed. Nothing here knows what a codec is: objectives,
reference point and goals come from the track.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from random import Random
from typing import Literal, Protocol

import msgspec

from lab.canonical import fingerprint
from lab.space import Value
from lab.track import Family, Goal, Objective, Track


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is varied and what is wanted: the part of a track that a designer reads."""

    families: tuple[Family, ...]
    objectives: tuple[Objective, ...]
    goals: tuple[Goal, ...] = ()

    def family(self, name: str) -> Family | None:
        return next((f for f in self.families if f.name == name), None)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment that has ended, as a designer sees it.

    `finished` has a value for each objective; `infeasible` ran and has not (pruned, or not measured); `failed` did not
    run to its end, `reason` says how. `objectives` are in the metrics' units; `violations` are the goals' distances
    (goal → how far missed, as a part of the goal's value; 0 is met), without the goals that stayed unknown.
    """

    id: str
    designer: str
    family: str
    params: dict[str, Value]
    status: Literal["finished", "failed", "infeasible"]
    objectives: dict[str, float] = {}
    violations: dict[str, float] = {}
    reason: str = ""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment that was proposed and has not ended."""

    family: str
    params: dict[str, Value]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What the designers know, capped so that an ask stays fast however long the lab runs.

    `told` holds the newest experiments and the front (a long one thinned), oldest first. `tried` are the keys
    (`point_key`) of every point that was proposed and stands, `running` those among them that have not ended.
    `proposed` counts all proposals so far and `seen` is the last change of the ledger that went in.
    """

    told: tuple[Told, ...] = ()
    running: tuple[Candidate, ...] = ()
    tried: tuple[str, ...] = ()
    proposed: int = 0
    seen: int = 0


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What is left; null where no limit was set."""

    experiments: int | None = None
    microusd: int | None = None
    seconds: float | None = None


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment that a designer wants. `prediction` is metric → value, to be held against the outcome.

    The seed is not a designer's to choose: it is the same for all that explore, so that none can win by a lucky one.
    """

    family: str
    params: dict[str, Value]
    hypothesis: str = ""
    prediction: dict[str, float] = {}
    parents: tuple[str, ...] = ()


class Designer(Protocol):
    """Proposes experiments for the problem that it was made for."""

    @property
    def name(self) -> str: ...

    def propose(self, history: History, budget: Budget, count: int, seed: int) -> list[Proposal]:
        """At most `count` proposals, fewer where the space has no untried point left that could be found.

        A function of its arguments alone: the same history and study seed give the same proposals.
        """
        ...


def problem(track: Track, goals: Iterable[Goal] | None = None, families: Iterable[str] | None = None) -> Problem:
    """The track's problem, with the person's goals in place of the track's and only the families that they allow."""
    chosen = track.families if families is None else tuple(track.family(name) for name in families)
    return Problem(families=chosen, objectives=track.objectives, goals=track.goals if goals is None else tuple(goals))


def point_key(family: str, params: Mapping[str, Value]) -> str:
    """Names a point of the space in 16 hex digits: what `History.tried` holds. Seeds and clips do not enter."""
    return fingerprint([family, dict(params)])[:16]


def ask_seed(study_seed: int, designer: str, proposed: int) -> int:
    """The seed of one ask (32 bits), so that every ask draws afresh and a replay draws the same."""
    return int.from_bytes(sha256(f"{study_seed}/{designer}/{proposed}".encode()).digest()[:4], "big")


def ask_rng(study_seed: int, designer: str, proposed: int) -> Random:
    return Random(ask_seed(study_seed, designer, proposed))
