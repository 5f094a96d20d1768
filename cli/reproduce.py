"""`aether reproduce`: runs an experiment again in a fresh workspace and lays its numbers beside those of the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import DEFAULT_BACKEND, BackendOption, JsonOption, console, emit, number, open_lab, table
from lab.errors import AetherError, UserError

if TYPE_CHECKING:
    from cli.progress import Progress
    from lab.experiment import Experiment
    from lab.judging.repetition import Pair
    from lab.track import Track


class Different(AetherError):
    """A number that must come out the same did not."""


def reproduce(id: Annotated[str, typer.Argument(metavar="ID", help="An experiment that has finished.")],
              backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Run an experiment again here and compare every number. Writes nothing into the laboratory."""
    from cli.experiments import find
    from cli.orchestrate import log_to_stderr
    from cli.progress import progress_bar
    from gpu_workers.rerun import kept_training, rerun
    from lab.judging.repetition import compare
    from lab.track import load_track
    log_to_stderr("warning")
    lab = open_lab(backend)
    before = find(lab.ledger, id)
    track = load_track(before.spec.track)
    _check(before, track)
    anew = kept_training(lab, before)
    with TemporaryDirectory(prefix="aether-") as folder, progress_bar() as progress:
        after = rerun(lab, anew, Path(folder), lambda phase, claims: _tell(progress, phase, claims))
    then, now = _scores(before), _scores(after)
    pairs = compare(track, then, now) if then and now else []
    differing = [pair for pair in pairs if pair.equal is False]
    ended_alike = _ending(before) == _ending(after)
    if json:
        emit({"experiment": before.id, "same": ended_alike and not differing, "before": _ending(before),
              "after": _ending(after), "weights_kept": bool(anew.checkpoints), "metrics": pairs,
              "device_before": then.device_class if then else "",
              "device_after": now.device_class if now else ""})
    else:
        _show(pairs, differing)
    if not ended_alike:
        raise Different(f"{before.id} ended as {_ending(before)}, and as {_ending(after)} now")
    if differing:
        raise Different(f"{before.id} is not reproduced: {len(differing)} numbers differ; was it run with other "
                        f"encoders, or changed by hand?")
    if not json:
        if anew.checkpoints:
            console().print(f"{before.id} was trained by the clock, so its weights are taken as they are", markup=False)
        console().print(f"{before.id} is reproduced: {_ending(after)}, {sum(p.equal is True for p in pairs)} numbers "
                        f"equal", markup=False)


def _check(experiment: Experiment, track: Track) -> None:
    if experiment.state != "finished" or experiment.outcome is None:
        raise UserError(f"{experiment.id} is {experiment.state}; only what has finished can be reproduced")
    if experiment.outcome.reason in ("harness_fault", "poison"):
        raise UserError(f"{experiment.id} ended by a fault of the harness ({experiment.outcome.reason}): no result")
    if experiment.spec.protocol != track.protocol:
        raise UserError(f"{experiment.id} was measured by protocol {experiment.spec.protocol}, Aether measures here "
                        f"by {track.protocol}; use the version that made it")


def _scores(experiment: Experiment) -> Any:
    return experiment.outcome.scores if experiment.outcome else None


def _ending(experiment: Experiment) -> str:
    """Whether goals were met may hang on a timing; whether there is a result may not."""
    from cli.words import verdict
    return "measured" if _scores(experiment) else verdict(experiment.outcome)


def _tell(progress: Progress, phase: str, claims: Mapping[str, Any]) -> None:
    from cli.words import share_done
    progress(f"{phase} {claims.get('clip', '')}".strip(), share_done(claims) or 0.0)


def _show(pairs: Sequence[Pair], differing: Sequence[Pair]) -> None:
    exact = [pair for pair in pairs if not pair.clip and pair.equal is not None]
    timed = [pair for pair in pairs if not pair.clip and pair.equal is None]
    columns = ("then", "now")
    console().print(table("must be equal (mean)", *columns, "", right=columns,
                          rows=[(p.metric, number(p.before, 7), number(p.after, 7), "equal" if p.equal else "DIFFERS")
                                for p in exact]))
    console().print()
    console().print(table("may differ", *columns, right=columns,
                          rows=[(p.metric, number(p.before), number(p.after)) for p in timed]))
    clips = [pair for pair in differing if pair.clip]
    if clips:
        console().print(table("differs on", "metric", *columns, right=columns,
                              rows=[(p.clip, p.metric, number(p.before, 9), number(p.after, 9)) for p in clips]))
