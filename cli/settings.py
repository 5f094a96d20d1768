"""`aether settings`: the revision in force, what a file would change, and putting a file in force."""

from __future__ import annotations

import time
from difflib import unified_diff
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cli.output import DEFAULT_BACKEND, BackendOption, JsonOption, console, emit, group, moment, new_op, open_lab
from cli.run import read_settings
from lab.backend import Backend
from lab.clock import month_key
from lab.control import SettingsRevision
from lab.errors import NotFound, UserError
from lab.money import to_micro, usd
from lab.settings import SETTINGS_FILE, Settings, changes, parse, require_known, require_rented, shown
from lab.track import load_track

CAP = "budget.monthly_usd"
FileArgument = Annotated[Path, typer.Argument(help="The settings file.", show_default=True)]

app = group("show")


@app.command()
def show(revision: Annotated[int | None, typer.Option(help="An earlier one.", show_default=False)] = None,
         backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """The settings in force, as they were pushed; with --json every value, defaults included."""
    found = _revision(open_lab(backend), revision)
    if json:
        values = msgspec.to_builtins(parse(found.text) if found else Settings())
        emit({"revision": found.revision if found else 0, "at": found.at if found else None, "settings": values})
    elif found is None:
        console().print("no settings were pushed; every default is in force (`aether init` writes them)", markup=False)
    else:
        console().print(f"# revision {found.revision}, pushed {moment(found.at)} UTC\n{found.text}", markup=False,
                        soft_wrap=True, end="")


@app.command()
def diff(file: FileArgument = Path(SETTINGS_FILE), backend: BackendOption = DEFAULT_BACKEND,
         json: JsonOption = False) -> None:
    """What pushing the file would change: values, not comments."""
    changed = changes(_in_force(open_lab(backend)), parse(_required(file), str(file)))
    if json:
        emit({"changed": {name: {"in_force": before, "file": after} for name, (before, after) in changed.items()}})
        return
    _print_changes(changed, f"{file} says what is in force")


@app.command()
def push(file: FileArgument = Path(SETTINGS_FILE), backend: BackendOption = DEFAULT_BACKEND,
         json: JsonOption = False) -> None:
    """Put the file in force as a new revision. A daemon that runs takes it up in its next round."""
    text = _required(file)
    after = parse(text, str(file))
    require_known(after, load_track(after.lab.track))
    lab = open_lab(backend, create=True)
    if lab.rented:
        require_rented(after)
    changed = changes(_in_force(lab), after)
    revision = lab.ledger.office.push_settings(text, op_id=new_op("settings"))
    if json:
        emit({"revision": revision, "changed": sorted(changed)})
        return
    _print_changes(changed, "no value differs from what was in force")
    month = lab.ledger.accounts.balance(month_key(time.time()))
    if CAP in changed and month is not None and month.cap != to_micro(after.budget.monthly_usd):
        console().print(f"this month's cap stays {usd(month.cap)}; `aether budget set {after.budget.monthly_usd:g}` "
                        f"changes it", markup=False, soft_wrap=True)
    console().print(f"revision {revision} is in force", markup=False)


def _print_changes(changed: dict[str, tuple[Any, Any]], same: str) -> None:
    out = console()
    for name, (before, after) in changed.items():
        if isinstance(before, tuple) or isinstance(after, tuple):
            out.print(f"{name}:", markup=False)
            for line in list(unified_diff(_lines(before), _lines(after), lineterm="", n=0))[2:]:
                if not line.startswith("@@"):
                    out.print(f"  {line}", markup=False, soft_wrap=True)
        else:
            out.print(f"{name}: {shown(before)} → {shown(after)}", markup=False, soft_wrap=True)
    if not changed:
        out.print(same, markup=False, soft_wrap=True)


def _lines(value: Any) -> list[str]:
    """A list, each element on a line; the track's own where there is none."""
    if not value:
        return []
    return [", ".join(f"{key} {one[key]}" for key in one) if isinstance(one, dict) else str(one) for one in value]


def _required(file: Path) -> str:
    if not file.exists():
        raise UserError(f"there is no {file}; `aether init` writes one, or name yours")
    return read_settings(file)


def _revision(lab: Backend, revision: int | None) -> SettingsRevision | None:
    wanted = lab.ledger.office.control().settings if revision is None else revision
    found = lab.ledger.office.settings(wanted)
    if found is None and revision is not None:
        raise NotFound(f"no settings revision {revision}; the one in force is {lab.ledger.office.control().settings}")
    return found


def _in_force(lab: Backend) -> Settings:
    found = _revision(lab, None)
    return parse(found.text, f"settings revision {found.revision}") if found else Settings()
