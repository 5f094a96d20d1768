"""`aether pause`, `resume` and `stop`: a person's word to the daemon, wherever it runs. It hears within a round."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.output import DEFAULT_BACKEND, BackendOption, JsonOption, console, emit, new_op, open_lab
from cli.watch import daemon_line
from lab.backend import Backend
from lab.control import Control

NOBODY = "no daemon runs here; {}"


def pause(backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Start nothing new until `aether resume`; what runs goes on to its end."""
    lab = open_lab(backend)
    control = lab.ledger.office.set_control(paused=True, op_id=new_op("pause"))
    _answer(lab, control, json, "paused; what runs goes on to its end, `aether resume` takes it back",
            "the next one will start paused")


def resume(backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Take back a pause."""
    lab = open_lab(backend)
    control = lab.ledger.office.set_control(paused=False, op_id=new_op("resume"))
    _answer(lab, control, json, "going on", "the orchestrator begins a run" if lab.folder is None else
            "`aether run` starts one")


def stop(backend: BackendOption = DEFAULT_BACKEND,
         now: Annotated[bool, typer.Option("--now", help="Hand running work back instead of waiting for it.")] = False,
         json: JsonOption = False) -> None:
    """End the run with its report, once what runs has ended. `aether run` carries on later."""
    lab = open_lab(backend)
    control = lab.ledger.office.set_control(stop="now" if now else "drain", op_id=new_op("stop"))
    _answer(lab, control, json, "the run ends now; running work is handed back" if now else
            "the run ends once what runs has ended; `aether stop --now` hands it back", "there is nothing to stop")


def _answer(lab: Backend, control: Control, json: bool, done: str, alone: str) -> None:
    if json:
        emit(control)
        return
    if control.held:
        done = alone = f"the budget guard holds the lab, since {control.held}; `aether budget override` lets it go on"
    lease = lab.ledger.office.lease()
    absent = daemon_line(lease).state == "absent" and not (lease is not None and lease.goes_on)
    console().print(NOBODY.format(alone) if absent else done, markup=False, soft_wrap=True)
