"""A person's own codec as an experiment: `aether run --candidate DIR`.

The folder's Python files become a bundle under its hash, which stands in the specification. What has run already is
shown and not run again; everything else is offered to the daemon as a person's idea.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer
from rich.console import Console

from cli.experiment_page import Dossier, dossier, page
from cli.output import clean, console, emit, new_op
from cli.watch import Watch
from cli.words import verdict
from lab import bundle, clipset
from lab.backend import Backend
from lab.control import Idea
from lab.errors import UserError
from lab.experiment import Experiment
from lab.settings import Settings
from lab.space import Value
from lab.track import Family, Track

NOT_EVALUATED = 1
HYPOTHESIS = "a person's own codec, from {}"


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for. `files` are the bundle's, name → text."""

    folder: str
    files: dict[str, str]
    params: dict[str, Value] = {}


def read(folder: Path, track: Track, params: dict[str, Value]) -> Candidate:
    """Raises UserError, with the fix, for what is no bundle of this track."""
    return Candidate(folder=folder.resolve().name, files=bundle.from_folder(folder, _family(track).agents),
                     params=params)


def require_sandbox() -> None:
    """Raises UserError where this machine has none that holds: then no worker here runs code from outside."""
    from gpu_workers.sandbox.canary import sandbox_here
    found = sandbox_here()
    if not found.works:
        raise UserError(f"code from outside runs in a sandbox alone, and this machine has none: {found.why}")


def offer(lab: Backend, track: Track, settings: Settings, candidate: Candidate) -> tuple[str, Experiment | None]:
    """The fingerprint, and the experiment that has it already: nothing is offered where that has ended or goes on.

    Raises UserError where it learns and there is nothing to learn from.
    """
    from orchestrator.places import Places, needed
    from orchestrator.planner import clip_sets, wished
    family = _family(track)
    trains = bundle.defines(candidate.files[family.agents[0]], "train")
    if trains and not any(clip.role == "train" for clip in clipset.load(lab.store).clips):
        raise UserError(f"{candidate.folder} learns, and this lab has no clip to learn from; "
                        f"`aether clips add FILE --role train`")
    idea = Idea(key=new_op("candidate"), family=family.name, params=candidate.params,
                hypothesis=HYPOTHESIS.format(candidate.folder), trains=trains,
                code=bundle.write(lab.store, candidate.files),
                needs=tuple(sorted(bundle.imported(candidate.files) & needed(track))))
    fingerprint = wished(track, settings, clip_sets(lab.store).explore, idea,
                         Places(rented=lab.rented)).fingerprint()
    before = found(lab, fingerprint)
    if before is None or before.state == "cancelled" or _faulted(before):
        lab.ledger.office.add_idea(idea, op_id=idea.key)
        return fingerprint, None
    return fingerprint, before


def found(lab: Backend, fingerprint: str) -> Experiment | None:
    id = lab.ledger.with_fingerprint(fingerprint)
    return lab.ledger.experiment(id) if id else None


def show(out: Console, watch: Watch, found: Dossier | None) -> None:
    """The candidate's own page, below the summary of the run."""
    if found is None:
        return
    out.print()
    for part in page(watch, found):
        out.print(part, soft_wrap=isinstance(part, str))


def show_again(lab: Backend, before: Experiment, json: bool) -> int:
    """This very codec has run here: its page, in place of a run."""
    watch = Watch(lab)
    found = dossier(watch, before)
    if json:
        emit({"ran_already": True, "candidate": found})
        return say_unless_evaluated(before)
    console().print(f"this very codec has run already, as {before.id}; change a file or a --param to run another",
                    markup=False, soft_wrap=True)
    show(console(), watch, found)
    return say_unless_evaluated(before)


def say_unless_evaluated(own: Experiment | None) -> int:
    """The exit code of a run for a candidate; where it was not evaluated, why is said in one line."""
    if own is not None and own.outcome is not None and own.outcome.scores is not None:
        return 0
    why = "the run ended before its turn; run it again, it carries on"
    if own is not None and own.state in ("finished", "cancelled"):
        detail = f": {own.outcome.detail}" if own.outcome and own.outcome.detail else ""
        why = clean(f"{verdict(own.outcome)}{detail}")
    typer.echo(f"error: the candidate was not evaluated: {why}", err=True)
    return NOT_EVALUATED


def _family(track: Track) -> Family:
    for family in track.families:
        if family.agents:
            return family
    raise UserError(f"the track {track.name} takes no code from outside")


def _faulted(experiment: Experiment) -> bool:
    return experiment.outcome is not None and experiment.outcome.reason == "harness_fault"
