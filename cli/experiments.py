"""`aether experiments`: what was tried and what came out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.output import (
    DEFAULT_BACKEND,
    BackendOption,
    JsonOption,
    console,
    emit,
    group,
    new_op,
    number,
    open_lab,
    shown_path,
    table,
)
from cli.watch import Watch
from cli.words import refuted, unproven
from lab.errors import NotFound, UserError, WrongState
from lab.experiment import Experiment, Scores
from lab.ledger import Ledger

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Such as e00007; its last digits do.")]
ENDS = ("success", "partial", "pruned", "failed", "cancelled")
LIVE = ("proposed", "queued", "running")

app = group("list")


@app.command("list")
def list_(
    state: Annotated[str, typer.Option(help=f"Only these: {', '.join((*LIVE, *ENDS))}.")] = "",
    purpose: Annotated[str, typer.Option(help="Only these: explore, confirm, anchor.")] = "",
    designer: Annotated[str, typer.Option(help="Only this designer's.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many, the newest.", min=1)] = 20,
    backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False,
) -> None:
    """The newest experiments, the newest last."""
    if state and state not in (*LIVE, *ENDS):
        raise UserError(f"--state {state!r}: there is {', '.join((*LIVE, *ENDS))}")
    watch = Watch(open_lab(backend))
    wanted = (e for e in newest_first(watch.ledger) if _fits(e, state, purpose, designer))
    found = list(islice(wanted, limit))[::-1]
    if json:
        emit({"experiments": [{**msgspec.to_builtins(one), "refuted": watch.refuted(one.id),
                               "unproven": watch.unproven(one.id)} for one in found]})
        return
    out = console()
    out.print(_listing(watch, found) if found else "no experiment here yet" if not state else f"none is {state}")
    if word := refuted(one.id for one in found if watch.refuted(one.id)):
        out.print(f"\n{word}", style="dim", soft_wrap=True)
    if word := unproven(one.id for one in found if watch.unproven(one.id)):
        out.print(f"\n{word}", style="dim", soft_wrap=True)
    if len(found) == limit < watch.view.count:
        out.print(f"\n{limit} of {watch.view.count} shown; --limit shows more", style="dim")


@app.command()
def show(id: IdArgument,
         pictures: Annotated[Path | None, typer.Option(metavar="DIR", help="Write original beside decoded there, a "
                                                       "picture a pair.")] = None,
         backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Everything about one: specification, attempts, seconds, money, metrics of each clip, goals, how its training
    went, files, log's end."""
    watch = Watch(open_lab(backend))
    from cli.experiment_page import dossier, page
    found = dossier(watch, find(watch.ledger, id))
    written = _pictures(watch, found.scores, pictures, found.experiment.id) if pictures is not None else []
    if json:
        emit(found)
        return
    out = console()
    for part in page(watch, found):
        out.print(part, soft_wrap=isinstance(part, str))
    for path in written:
        out.print(f"original beside decoded: {shown_path(path)}", markup=False, soft_wrap=True)


def _pictures(watch: Watch, scores: Scores | None, folder: Path, id: str) -> list[Path]:
    from cli.pictures import write_pairs
    written = write_pairs(scores, watch.backend.store, folder, id) if scores else []
    if not written:
        raise UserError(f"{id} has left no pictures; those of experiments that were measured stay until `aether gc`")
    return written


@app.command()
def diff(a: IdArgument, b: IdArgument, backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Two experiments beside each other: what differs in the specification, and in every number."""
    watch = Watch(open_lab(backend))
    from cli.experiment_diff import compare, show
    found = compare(watch, find(watch.ledger, a), find(watch.ledger, b))
    if json:
        emit(found)
    else:
        show(console(), found)


@app.command()
def cancel(id: IdArgument, why: Annotated[str, typer.Option(help="For those who read it later.")] = "a person's word",
           backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Cancel one that has not finished. A worker that runs it stops at its next heartbeat."""
    ledger = open_lab(backend).ledger
    experiment = find(ledger, id)
    try:
        ledger.cancel(experiment.id, why, op_id=new_op("cancel"))
    except WrongState as error:
        raise UserError(f"{experiment.id} is {experiment.state} already; there is nothing to cancel") from error
    after = ledger.experiment(experiment.id)
    if json:
        emit(after)
    else:
        console().print(f"{after.id} is cancelled", markup=False)


def find(ledger: Ledger, id: str) -> Experiment:
    """By its id, or by the number in it: 7 for e00007. Raises NotFound."""
    try:
        return ledger.experiment(id)
    except NotFound:
        if not id.isdecimal():
            raise
        return ledger.experiment(f"e{int(id):05d}")


def newest_first(ledger: Ledger) -> Iterator[Experiment]:
    after = ""
    while page := ledger.experiments(after=after, limit=100, newest_first=True):
        yield from page
        after = page[-1].id


def _fits(experiment: Experiment, state: str, purpose: str, designer: str) -> bool:
    stands = experiment.outcome.verdict if experiment.outcome else experiment.state
    return ((not state or state == stands) and (not purpose or purpose == experiment.purpose)
            and (not designer or designer == experiment.designer))


def _listing(watch: Watch, found: list[Experiment]) -> object:
    names = [objective.metric for objective in watch.track.objectives]
    rows = []
    for experiment in found:
        line = watch.ended(experiment)
        ended = experiment.state in ("finished", "cancelled")
        rows.append([line.id, line.verdict if ended else experiment.state, line.designer,
                     *(number(line.values.get(name)) for name in names), line.what])
    return table("id", "state", "designer", *names, "configuration", rows=rows, right=names,
                 gives_way="configuration")
