"""What a track is: its families and search spaces, phases, metrics, objectives and goals.

A track is found by its entry point in the group `aether.tracks`, never by name, and its description imports no
heavy library, so that the orchestrator reads it on a machine with no GPU software.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from lab.errors import NotFound
from lab.experiment import Experiment, Scores, Spec
from lab.space import Dimension, Value, When

if TYPE_CHECKING:
    from lab.backend import Store


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One number of an outcome, defined once."""

    name: str  # with its unit: bitrate_mbps
    unit: str
    better: Literal["lower", "higher", "neither"]
    definition: str
    source: str  # the paper, standard or library that defines it
    deterministic: bool = True  # same spec, same seed, same value; false for timings and memory
    derived: bool = False  # computed from other experiments (anchors), not by the score phase


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """One axis of the front. `reference` is the worst value that still counts for the hypervolume."""

    metric: str
    direction: Literal["min", "max"]
    reference: float
    log: bool = False


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """A wish of the person: `metric relation value`, over the mean, every clip, or a share of the clips."""

    metric: str
    relation: Literal["<=", ">="]
    value: float
    scope: Literal["mean", "every", "share"] = "mean"
    share: float = 1.0  # for the scope `share`: the least part of the clips that must meet it

    def __str__(self) -> str:
        tail = {"mean": "", "every": " on every clip", "share": f" on {self.share:.0%} of the clips"}[self.scope]
        return f"{self.metric} {self.relation} {self.value:g}{tail}"


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of configuration and its search space; `needs` are the packages without which nothing of it runs here.

    A `learned` one is trained first, under the settings' training limit: always, or where `trained` says. `told` names
    the dimensions by which a configuration is known in few words; without it, each chosen word and what belongs to it.
    `agents` are the files that its code bundle must hold: such code comes from outside, no designer explores it, it
    alone knows its parameters, and it learns first where the first of the files has a function `train`.
    """

    name: str
    space: tuple[Dimension, ...]
    job_class: Literal["cpu", "gpu"] = "cpu"
    learned: bool = False
    trained: When | None = None
    needs: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()

    def trains(self, params: Mapping[str, Value]) -> bool:
        """Whether this point of the space has weights that are trained before any footage is scored."""
        return self.learned and (self.trained is None or params.get(self.trained.name) in self.trained.values)

    def missing(self) -> tuple[str, ...]:
        """What of its needs is not installed here."""
        return tuple(name for name in self.needs if find_spec(name) is None)


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `entry` is `module:function`, taking a `gpu_workers.phase.Box`.

    `inputs` names what it sees: `clips:ROLE`, `PHASE/FILE` of an earlier phase, or `code/`, the candidate's bundle.
    `outputs` are files it must leave. `live` is one that it replaces by a rename while it runs: the worker keeps it now
    and then, and a later attempt gets the last one as the input `resume`. `asked_s` is the time that the spec itself
    asks for, which a person's limit on phases does not cut.
    A `timed` one has a speed to tell, for which a confirmation gives it the machine alone.
    """

    name: str
    entry: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    live: str = ""
    trusted: bool = False
    timed: bool = False
    limit_s: float = 600.0
    asked_s: float = 0.0
    memory_mb: int = 4096

    def within_s(self, phase_s: float) -> float:
        """Its wall clock where a person allows so much to every phase."""
        return min(self.limit_s, max(phase_s, self.asked_s))


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """A reference configuration that runs as a cached experiment of its own, so that savings can be told.

    Anchors of one `curve` are drawn as one line under that name.
    """

    name: str
    family: str
    params: dict[str, Value]
    curve: str = ""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of the machine that a track was asked about. It is well unless `fix` says how to mend it."""

    name: str
    found: str
    fix: str = ""
    needed: bool = True  # false where the track does without


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the rest of the house knows about a kind of experiment.

    `phases(spec)` are run in order by the worker; the last one leaves `scores.json`, a `Scores`.
    `derive(scores, anchors)` gives the metrics that need the anchors' scores (a name → Scores mapping), as new Scores.
    `facts(path)` reads what a clip's file says of itself, or raises UserError with the fix.
    `not_applicable(spec)` names metrics whose goals do not apply (classic decoders have no network).
    `explain(scores)` says in one or two plain lines what limited the result.
    `model` names the frozen weights of one that is trained, as PHASE/OUTPUT, and `training` the series of its claims.
    `export(experiment, store, folder)` leaves there what a person takes away; gives lines that say how to use it.
    `health()` checks what the track needs of this machine; `canary`, a phase's entry, runs it once in a sandbox, before
    the worker trusts that one.
    """

    name: str
    protocol: int  # grows when the meaning of a result changes
    families: tuple[Family, ...]
    metrics: tuple[Metric, ...]
    objectives: tuple[Objective, ...]
    goals: tuple[Goal, ...]
    phases: Callable[[Spec], tuple[Phase, ...]]
    anchors: tuple[Anchor, ...]
    derive: Callable[[Scores, Mapping[str, Scores]], Scores]
    facts: Callable[[Path], dict[str, Any]]
    not_applicable: Callable[[Spec], frozenset[str]]
    explain: Callable[[Scores], str]
    model: str = ""
    training: str = ""
    export: Callable[[Experiment, Store, Path], Sequence[str]] | None = None
    health: Callable[[], Sequence[Health]] | None = None
    canary: str = ""

    def family(self, name: str) -> Family:
        for family in self.families:
            if family.name == name:
                return family
        raise NotFound(f"track {self.name} has no family {name!r}; it has {', '.join(f.name for f in self.families)}")

    def metric(self, name: str) -> Metric:
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise NotFound(f"track {self.name} has no metric {name!r}; `aether doctor --metrics` lists them")


def load_track(name: str) -> Track:
    """The installed track of that name. Raises NotFound, naming those there are."""
    found = {point.name: point for point in entry_points(group="aether.tracks")}
    if name not in found:
        raise NotFound(f"no track {name!r} is installed; installed: {', '.join(sorted(found)) or 'none'}")
    track: Track = found[name].load()
    return track
