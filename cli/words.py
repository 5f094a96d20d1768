"""Experiments in few words: what was configured, how it ended, how far it is. Pure; knows no track by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lab.experiment import Experiment, Outcome, Spec
from lab.space import active
from lab.track import Family, Track

PARTIAL = "it ran, and a goal is missed or unknown"
REFUTED = "refuted on clips that no designer has seen, so not the best"
UNPROVEN = ("code from outside that misses a goal, so not the best: it may carry the clips that it was scored on; "
            "its confirmations tell what it does on others")
SILENT = ("none", "full")  # values that say that nothing is changed


def configuration(spec: Spec, track: Track) -> str:
    """`x265 2/3 slow crf 28.1`: chosen words, each number beside the word that it belongs to. A family that names what
    it is told by goes by its name: `restore auto crf 41.5 channels 16 overfitted`; code from outside by its hash."""
    family, words = track.family(spec.family), list[str]()
    if spec.code:
        return " ".join(filter(None, [family.name, spec.code[:8], _first(spec.params)]))
    if family.told:
        return told(family, spec.params)
    for dimension in family.space:
        value = spec.params.get(dimension.name)
        if value is None or not active(dimension, spec.params):
            continue
        mode = str(spec.params.get(dimension.when.name)) if dimension.when is not None else ""
        if isinstance(value, str):
            words += [] if value in SILENT else [value]
        elif (mode and dimension.name.endswith(f"_{mode}")) or dimension.name.endswith("_preset"):
            words.append(_number(value))
    return " ".join(words) or _first(spec.params) or spec.family


def label(experiment: Experiment, track: Track) -> str:
    """The configuration, with its role where it is not exploring."""
    if experiment.purpose == "anchor":
        return f"anchor {experiment.group}"
    what = configuration(experiment.spec, track)
    return f"confirm {experiment.group}, seed {experiment.spec.seed}" if experiment.purpose == "confirm" else what


def verdict(outcome: Outcome | None) -> str:
    """`partial`, or `failed: timeout`; `cancelled` where there is no outcome."""
    if outcome is None:
        return "cancelled"
    return f"{outcome.verdict}: {outcome.reason}" if outcome.reason else outcome.verdict


def resumes(experiment: Experiment, track: Track) -> str:
    """Where one that waits goes on: `with score`, `in the midst of train`; empty where nothing that helps was kept."""
    if experiment.state != "queued":
        return ""
    behind = False
    for phase in track.phases(experiment.spec):
        kept = experiment.checkpoints.get(phase.name)
        if kept is not None and kept.done:
            behind = True
        elif kept is not None and phase.live in kept.outputs:  # a phase that broke off leaves its log alone
            return f"in the midst of {phase.name}"
        else:
            return f"with {phase.name}" if behind else ""
    return "with its verdict"


def refuted(ids: Iterable[str]) -> str:
    """One line that names them; empty where there is none."""
    return _of(REFUTED, ids)


def unproven(ids: Iterable[str]) -> str:
    """The same of those that no confirmation can bear out."""
    return _of(UNPROVEN, ids)


def _of(what: str, ids: Iterable[str]) -> str:
    named = ", ".join(ids)
    return f"{what}: {named}" if named else ""


def share_done(progress: Mapping[str, Any]) -> float | None:
    """How far the present step is, from what a phase claims; None where it does not say."""
    for part, all in (("frame", "frames"), ("step", "steps")):
        done, whole = progress.get(part), progress.get(all)
        if isinstance(done, (int, float)) and isinstance(whole, (int, float)) and whole > 0:
            return min(max(done / whole, 0.0), 1.0)
    claimed = progress.get("share")
    return min(max(float(claimed), 0.0), 1.0) if isinstance(claimed, (int, float)) else None


def told(family: Family, params: Mapping[str, Any]) -> str:
    """The family's name, and the values that it is told by."""
    return " ".join([family.name, *_named(params, family.told)])


def _named(params: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    """Words as they are, numbers and switches with their names."""
    for name in names:
        value = params.get(name)
        if isinstance(value, str):
            yield from () if value in SILENT else (value,)
        elif value is not None:
            yield f"{name} {_number(value)}"


def _first(params: Mapping[str, Any]) -> str:
    return " ".join(f"{name} {_number(value)}" for name, value in list(params.items())[:3])


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
