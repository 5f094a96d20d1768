"""`aether export`: an experiment as a thing to take away, in a folder that stands by itself.

The track leaves what decodes; here it gets its card, which says what it is, what was measured on what device, how sure
that is and where it comes from, and the licence. The folder appears whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cli.models import facts
from cli.output import DEFAULT_BACKEND, BackendOption, JsonOption, console, emit, moment, number, open_lab, shown_path
from lab.errors import NotFound, UserError
from lab.model import model_of
from lab.words import count

if TYPE_CHECKING:
    from cli.watch import Watch
    from lab.experiment import Experiment, Scores
    from lab.track import Track

CARD, SPEC = "README.md", "experiment.json"
LEGAL = ("LICENSE", "NOTICE")
CHAMPION = "champion"
LICENCE = ("## Licence", "", "Code: Apache-2.0, see LICENSE and NOTICE. The example shows footage of the laboratory's",
           "clips, which remains under the footage's own licence.")


def export(id: Annotated[str, typer.Argument(metavar="ID", help="An experiment, or the word champion.")],
           folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet.")],
           backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Take an experiment away: decoder, weights if any, card, licence and the command that made it."""
    from cli.watch import Watch
    lab = open_lab(backend)
    watch = Watch(lab)
    experiment = _wanted(watch, id)
    scores = experiment.outcome.scores if experiment.outcome else None
    if scores is None or watch.track.export is None:
        raise UserError(f"{experiment.id} has no result to take away; `aether experiments list` shows those that have")
    if folder.exists():
        raise UserError(f"{folder} is there already; name a folder that is not")
    aside = folder.parent / f".{folder.name}.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        usage = watch.track.export(experiment, lab.store, aside)
        (aside / CARD).write_text("\n".join(_card(watch, experiment, scores, usage)) + "\n")
        (aside / SPEC).write_bytes(msgspec.json.format(msgspec.json.encode(experiment), indent=2) + b"\n")
        for name in LEGAL:
            shutil.copyfile(_legal(name), aside / name)
        os.rename(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if json:
        emit({"experiment": experiment.id, "folder": str(folder), "files": files})
    else:
        console().print(f"{experiment.id} is in {shown_path(folder)}: {count(len(files), 'file')}; start with {CARD}",
                        markup=False)


def _wanted(watch: Watch, id: str) -> Experiment:
    from cli.experiments import find
    from orchestrator.champion import champion
    if id != CHAMPION:
        return find(watch.ledger, id)
    believed = champion(watch.view)
    if believed is None:
        raise NotFound("no champion is confirmed yet; name an experiment, such as the best that `aether status` shows")
    return watch.ledger.experiment(believed.id)


def _legal(name: str) -> Path:
    """The licence as it was installed, or as it lies in the repository."""
    from importlib.metadata import distribution
    beside = Path(__file__).resolve().parents[1] / name
    if beside.is_file():
        return beside
    found = next((file for file in distribution("aether-lab").files or () if file.name == name), None)
    if found is None:
        raise UserError(f"Aether's {name} is missing from this installation; install it again with `make setup`")
    return Path(str(found.locate()))


# ---------------------------------------------------------------------- the card


def _card(watch: Watch, experiment: Experiment, scores: Scores, usage: Sequence[str]) -> Iterator[str]:
    from cli.words import label
    track, spec = watch.track, experiment.spec
    derived = track.derive(scores, watch.view.anchors)
    yield f"# {experiment.id}: {label(experiment, track)}"
    yield ""
    yield f"A result of the laboratory “{watch.settings.lab.name}”, taken away with Aether {version('aether-lab')}."
    yield from ("", "## Use it", "", *usage, "", "## Goals", "")
    for verdict in watch.verdicts(experiment):
        value = f" ({verdict.why})" if verdict.value is None else f": {number(verdict.value)}"
        yield f"- {verdict.goal} — {verdict.status.replace('_', ' ')}{value}"
    yield f"- {_confirmed(watch, experiment)}"
    yield from ("", "## Measured", "", f"Means over the clips {', '.join(scores.clips)}. Speeds and memory were taken")
    yield from (f"on `{scores.device_class}` and compare with nothing taken elsewhere.", "")
    yield from _metrics(track, derived)
    yield from ("", "## Configuration", "", f"- track {spec.track}, protocol {spec.protocol}, family {spec.family}",
                f"- seed {spec.seed}, clip set `{spec.clips}`, settings revision {experiment.settings}",
                f"- fingerprint `{experiment.fingerprint}`")
    yield from (f"- {name} = {value}" for name, value in spec.params.items())
    if (model := model_of(experiment, track, watch.backend.store)) is not None:
        yield from ("", "## Model", "", "Stored under this hash before footage that is scored was bound anywhere.", "")
        yield from (f"- {name}: {value}" for name, value in facts(model).items() if value)
    yield from ("", "## Where it comes from", "", *_lineage(watch, experiment), "", "## Make it again", "", "```sh",
                f"aether reproduce {experiment.id} --backend LAB", "```", "", *LICENCE)


def _metrics(track: Track, scores: Scores) -> Iterator[str]:
    yield "| metric | value | unit | how known | what it is |"
    yield "|---|---:|---|---|---|"
    for metric in track.metrics:
        value = scores.mean.get(metric.name)
        if value is None:
            known = f"not known: {scores.why.get(metric.name, 'not measured')}"
        else:
            known = "computed" if metric.derived else scores.provenance.get(metric.name, "measured")
        yield f"| {metric.name} | {number(value)} | {metric.unit} | {known} | {metric.definition} |"


def _confirmed(watch: Watch, experiment: Experiment) -> str:
    states = watch.view.confirms.get(experiment.spec.recipe(), {})
    if not states:
        return "not confirmed: it has run once, on the clips that designers see results of"
    told = ", ".join(f"seed {seed} {state}" for seed, state in sorted(states.items()))
    found = f"confirmations on clips that no designer saw numbers of: {told}"
    return found + ("; **refuted**: what it did on the clips below did not hold there" if watch.refuted(experiment.id)
                    else "")


def _lineage(watch: Watch, experiment: Experiment) -> Iterator[str]:
    """The experiment and its forebears, each once, the nearest first."""
    waiting, seen = [experiment], {experiment.id}
    for nth in range(1000):
        if nth >= len(waiting):
            return
        one = waiting[nth]
        reason = f": {one.hypothesis}" if one.hypothesis else ""
        yield f"- {one.id}, {moment(one.created_at)} UTC, by {one.designer}{reason}"
        fresh = [id for id in one.parents if id not in seen]
        seen.update(fresh)
        waiting += [watch.ledger.experiment(id) for id in fresh]
