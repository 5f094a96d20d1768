"""A model: weights under their hash, and the card that says what made them. Pure but for reading the clip set.

The ledger is the truth: an experiment that was trained is the model's record, and this is how it is told. The weights
are the bytes that the training left, stored under their hash before any footage that is scored was shown to anybody.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lab.backend import Store
from lab.errors import AetherError
from lab.experiment import Dataset, Experiment, TrainingLimit
from lab.objects import read_as
from lab.space import Value
from lab.track import Track


class Footage(msgspec.Struct, frozen=True):
    """A clip that was learned from."""

    name: str
    hash: str


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """`weights` is the SHA-256 of a safetensors file. `devices` are the classes of all machines that trained it: with
    steps as the limit one class gives the same bits; another may differ in the last ones. `parents` are experiments."""

    weights: str
    experiment: str
    track: str
    family: str
    params: dict[str, Value]
    code: str | None  # hash of the bundle that trained it, where that is no code of ours
    learned_from: tuple[Footage, ...]
    limit: TrainingLimit
    seed: int
    devices: tuple[str, ...]
    seconds: float  # of the attempt that ended it
    parents: tuple[str, ...]
    protocol: int
    schema: int = 1


def model_of(experiment: Experiment, track: Track, store: Store) -> Model | None:
    """The model that the experiment trained; None where it has none, or not yet."""
    phase, _, output = track.model.partition("/")
    trained, spec = experiment.checkpoints.get(phase), experiment.spec
    if trained is None or not trained.done or output not in trained.outputs or spec.limit is None:
        return None
    return Model(weights=trained.outputs[output], experiment=experiment.id, track=spec.track, family=spec.family,
                 params=spec.params, code=spec.code, learned_from=_learned_from(spec.clips, store), limit=spec.limit,
                 seed=spec.seed, devices=tuple(dict.fromkeys(a.device_class for a in experiment.attempts)),
                 seconds=trained.seconds, parents=experiment.parents, protocol=spec.protocol)


def makers(experiments: Iterable[Experiment], track: Track, weights: str) -> list[str]:
    """Ids of the experiments that trained weights with this hash."""
    phase, _, output = track.model.partition("/")
    return [experiment.id for experiment in experiments
            if phase in experiment.checkpoints and experiment.checkpoints[phase].outputs.get(output) == weights]


def _learned_from(dataset: str, store: Store) -> tuple[Footage, ...]:
    """None where the clip set is gone."""
    try:
        clips = read_as(store, dataset, Dataset, "clip set").clips
    except AetherError:
        return ()
    return tuple(Footage(clip.name, clip.hash) for clip in clips if clip.role == "train")
