"""`aether run`: daemon, supervised workers, live view and report in one; run again, it carries on.

What the command line asks for is written into the settings that are pushed, so that the revision in the ledger tells
the whole truth about the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli import candidate, families
from cli.fresh import made_for
from cli.output import DEFAULT_BACKEND, JsonOption, new_op
from cli.overrides import Scalar, designer_values, overridden
from cli.params import parse_params
from cli.watch import daemon_line
from lab.backend import Backend
from lab.errors import LabHeld, NotFound, SettingsError, UserError
from lab.settings import SETTINGS_FILE, Settings, parse
from lab.track import Track, load_track


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A run as asked for. `file` is the person's settings file, watched for edits; None if there is none."""

    backend: str
    text: str  # of the settings to push
    base: Path  # what the clips' paths are relative to
    file: Path | None = None
    read: str = ""  # what the file said
    seed: int | None = None
    json: bool = False
    candidate: candidate.Candidate | None = None


def run(
    experiments: Annotated[int | None, typer.Option(help="Explore so many experiments, then confirm the best.")] = None,
    minutes: Annotated[float | None, typer.Option(help="End after so many minutes.")] = None,
    backend: Annotated[str, typer.Option("--backend", envvar="AETHER_BACKEND", metavar="local:DIR|aws:PREFIX",
                                         show_default=False, help="The laboratory; default: the folder lab, beside the "
                                         "settings.")] = "",
    designer: Annotated[str, typer.Option(help="Only this one beside control's share, such as evolution.")] = "",
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same proposals each time, whatever happens on the way.")] = None,
    settings: Annotated[Path | None, typer.Option(help="The settings file; default: aether.toml, if there is one.",
                                                  show_default=False)] = None,
    own: Annotated[Path | None, typer.Option("--candidate", metavar="DIR", help="Evaluate your own two agents (docs/"
                                             "two-agents.md); nothing else is explored unless you ask for it, "
                                             "and what waits goes on.")] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of the candidate; may be "
                                                    "repeated.")] = None,
    json: JsonOption = False,
) -> int:
    """Run the laboratory until a goal, the budget, a limit or Ctrl-C ends it. Run again, it carries on.

    Ctrl-C hands running work back and ends with the report; a second one ends at once.
    """
    asked: dict[tuple[str, str], Scalar | None] = {("limits", "experiments"): experiments,
                                                   ("limits", "minutes"): minutes, ("limits", "workers"): workers}
    values = {key: value for key, value in asked.items() if value is not None}
    values |= designer_values(designer) if designer else {}
    if param and own is None:
        raise UserError("--param goes with --candidate DIR; a family's parameters are what designers explore")
    if own is not None and experiments is None and minutes is None:
        values |= {("designers", "families"): list[str](), ("limits", "stop_at_goal"): False}
    file = settings or (Path(SETTINGS_FILE) if Path(SETTINGS_FILE).exists() else None)
    base = (file.parent if file else Path()).resolve()
    address = backend or (f"local:{base / 'lab'}" if file and file.parent != Path() else DEFAULT_BACKEND)
    read = read_settings(file)
    text = _merged(read, values)
    track = load_track(parse(text).lab.track)
    mine = candidate.read(own, track, parse_params(param or [])) if own is not None else None
    if mine is not None:
        candidate.require_sandbox()
    return start(Plan(backend=address, text=text, base=base, file=file, read=read, seed=seed, json=json,
                      candidate=mine))


def _merged(read: str, values: Mapping[tuple[str, str], Scalar]) -> str:
    """The settings' text with what the command line asks for. `read` is sound, so a fault is the command line's."""
    text = overridden(read, values)
    try:
        parse(text)
    except SettingsError as error:
        faults = [line.split(": ", 1)[1] for line in str(error).splitlines()]  # each without its place in a file
        raise UserError("; ".join(f"on the command line: {fault}" for fault in faults)) from error
    return text


def start(plan: Plan) -> int:
    """Carry a plan out; gives the exit code. A candidate that has run already is shown, and nothing is run."""
    settings = parse(plan.text, str(plan.file or SETTINGS_FILE))
    track, fingerprint = load_track(settings.lab.track), ""
    with made_for(plan.backend) as backend:
        require_free(backend)
        backend.ledger.office.close_run(op_id=new_op("begin"))  # limits count from this command, not one that died
        prepare(backend, track, settings, plan)
        if plan.candidate is not None:
            fingerprint, before = candidate.offer(backend, track, settings, plan.candidate)
            if before is not None and before.state == "finished":
                return candidate.show_again(backend, before, plan.json)
        put_in_force(backend, plan)
    if settings.designers.families is None and (missing := families.told(track)):
        typer.echo(missing, err=True)
    from cli.attend import attend
    return attend(backend, settings, plan, fingerprint)


def read_settings(file: Path | None) -> str:
    """The file's text; empty where there is none. Faults are told with the person's own lines."""
    if file is None:
        return ""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {file}: {error}; `aether init` writes one") from error
    parse(text, str(file))
    return text


def require_free(backend: Backend) -> None:
    """Refuse before anything is touched while another daemon holds the lab."""
    lease = backend.ledger.office.lease()
    holder = daemon_line(lease)
    if lease is not None and holder.state == "running":
        raise LabHeld(f"daemon {lease.holder} (pid {holder.pid} on {holder.host}) holds this lab; end it with "
                      f"`aether stop`, or choose another --backend")


def prepare(backend: Backend, track: Track, settings: Settings, plan: Plan) -> None:
    """Goals and families are the track's, the clips that the settings name are in the lab, and one can be scored."""
    for goal in settings.goals or ():
        track.metric(goal.metric)
    families.require(track, settings)
    if settings.clips:
        from cli.clips import import_clips
        import_clips(backend, track, [(plan.base / clip.path, clip.role) for clip in settings.clips])
    _require_clips(backend)


def put_in_force(backend: Backend, plan: Plan) -> None:
    backend.ledger.office.push_settings(plan.text, op_id=new_op("settings"))


def _require_clips(backend: Backend) -> None:
    from orchestrator.planner import clip_sets
    try:
        clip_sets(backend.store)
    except NotFound as error:
        raise NotFound("this lab has no clip to score on; name some as [[clips]] in aether.toml (`aether init` writes "
                       "an example), or `aether clips add FILE --role score`") from error
