"""Weights as a command line names them: an experiment of a laboratory, a folder that was exported, or a plain file.

An encoder needs to know what the weights were trained for; a decoder only needs the bytes that have the right hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cli.output import open_lab, seconds
from lab.canonical import sha256
from lab.errors import AetherError, Damaged, NotFound, UserError
from lab.words import count

if TYPE_CHECKING:
    from lab.backend import Store
    from lab.experiment import Experiment, Spec
    from lab.model import Model

WEIGHTS, EXPERIMENT = "model.safetensors", "experiment.json"  # in a folder that `aether export` made


class Chosen(msgspec.Struct, frozen=True):
    """What to encode with: a specification, and its frozen weights where it has some."""

    spec: Spec
    weights: Path | None


def chosen(asked: str, backend: str) -> Chosen:
    """By an experiment's id, or the folder of an export. Raises NotFound and UserError, with the fix."""
    if Path(asked).is_dir():
        return _exported(Path(asked))
    from cli.experiments import find
    lab = open_lab(backend)
    experiment = find(lab.ledger, asked)
    if experiment.spec.code:
        raise UserError(f"{experiment.id} is code from outside, which runs in the laboratory's sandbox alone; "
                        f"`aether run --candidate DIR` runs it on other clips")
    return Chosen(experiment.spec, weights_of(experiment, lab.store))


def weights_of(experiment: Experiment, store: Store) -> Path | None:
    """Its frozen weights; None for one that has none. Raises UserError where it has not trained them to the end."""
    from lab.model import model_of
    from lab.track import load_track
    if experiment.spec.limit is None:
        return None
    model = model_of(experiment, load_track(experiment.spec.track), store)
    if model is None:
        raise UserError(f"{experiment.id} has not trained its model to the end; take one that has finished")
    return store.fetch(model.weights)


def facts(model: Model) -> dict[str, str]:
    """The card in words: what the weights are, and what made them."""
    limit = model.limit
    told = count(limit.steps, "step") if limit.steps else f"{seconds(limit.seconds or 0)} on {limit.device_class}"
    return {
        "weights": model.weights, "trained": f"{told}, seed {model.seed}, by {model.experiment}",
        "learned from": ", ".join(f"{clip.name} ({clip.hash[:12]})" for clip in model.learned_from) or "clips now gone",
        "on": f"{', '.join(model.devices)}; {seconds(model.seconds)}", "code": model.code or "",
    }


def made_by(weights: str, backend: str) -> str:
    """Which experiments of the laboratory trained them, in words; empty where there is none that did."""
    from lab.model import makers
    from lab.track import load_track
    try:
        lab = open_lab(backend)
    except AetherError:
        return ""
    found = makers(lab.ledger.all_experiments(), load_track("codec"), weights)
    return f", trained by {found[0]}" + (f" and {len(found) - 1} more" if len(found) > 1 else "") if found else ""


class Weights(Mapping[str, "Path"]):
    """Files of weights by their hash: those that were named, then what the laboratory holds."""

    def __init__(self, named: Sequence[str], backend: str) -> None:
        self._files = {sha256(path.read_bytes()): path for path in (_file(name, backend) for name in named)}
        self._store = _store(backend)

    def __getitem__(self, hash: str) -> Path:
        if hash in self._files:
            return self._files[hash]
        try:
            if self._store is not None:
                return self._store.fetch(hash)
        except (NotFound, Damaged):
            pass
        raise KeyError(hash)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _exported(folder: Path) -> Chosen:
    from lab.experiment import Experiment
    try:
        spec = msgspec.json.decode((folder / EXPERIMENT).read_bytes(), type=Experiment).spec
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        raise UserError(f"{folder} is no folder that `aether export` made: it has no readable {EXPERIMENT}") from None
    weights = folder / WEIGHTS
    if spec.code:
        raise UserError(f"{folder} holds code from outside; `aether run --candidate` runs such code in the sandbox")
    return Chosen(spec, weights if weights.is_file() else None)


def _file(name: str, backend: str) -> Path:
    path = Path(name)
    if path.is_dir():
        path = path / WEIGHTS
    if path.is_file():
        return path
    try:
        found = chosen(name, backend).weights
    except NotFound:
        raise UserError(f"--model {name} is no file, no exported folder and no experiment of {backend}") from None
    if found is None:
        raise UserError(f"{name} has no weights; leave --model out")
    return found


def _store(backend: str) -> Store | None:
    try:
        return open_lab(backend).store
    except AetherError:
        return None
