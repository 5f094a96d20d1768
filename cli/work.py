"""`aether work`: a worker's process, alone; and `aether work keep`, which keeps a worker's instance for a look."""

from __future__ import annotations

import math
import time
from typing import Annotated, Literal

import msgspec
import typer

from cli.children import die_with
from cli.orchestrate import ParentOption, greet, log_to_stderr
from cli.output import DEFAULT_BACKEND, BackendOption, JsonOption, console, emit, open_lab
from lab.clock import month_key
from lab.errors import UserError
from lab.money import usd

LONGEST_MINUTES = 24 * 60
UNRESERVED = "No daemon is seen to live that reserves for it; at rest its hours are booked as they pass"

app = typer.Typer(invoke_without_command=True)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that stays, and what that costs at most; `reserved`: by a daemon that lives, ahead. At rest its
    hours are booked as they pass."""

    instance: str
    type: str
    minutes: int
    most_microusd: int
    reserved: bool
    schema: int = 1


@app.callback()
def work(
    asked: typer.Context,
    backend: BackendOption = DEFAULT_BACKEND,
    name: Annotated[str, typer.Option(help="How it is called in attempts; default: host and process.")] = "",
    job_class: Annotated[Literal["cpu", "gpu"] | None, typer.Option(
        help="The only queue that it works at; without it both, on an account cpu.")] = None,
    idle_minutes: Annotated[float, typer.Option(min=0, help="Leave after so long without work.")] = math.inf,
    parent: ParentOption = 0,
) -> None:
    """Run one worker until it is told to go (Ctrl-C): it then gives its work back."""
    if asked.invoked_subcommand is not None:
        return
    die_with(parent)
    log_to_stderr()
    from gpu_workers.main import serve
    greet(f"a worker of {backend}; Ctrl-C gives its work back")
    serve(backend, name=name, job_classes=(job_class,) if job_class else (), idle_s=60 * idle_minutes)


@app.command()
def keep(
    instance: Annotated[str, typer.Argument(metavar="INSTANCE", help="As the mail about it says, such as i-0abc.")],
    minutes: Annotated[int, typer.Option(min=0, max=LONGEST_MINUTES, help="For so long; 0 lets it go.")] = 30,
    backend: BackendOption = DEFAULT_BACKEND,
    json: JsonOption = False,
) -> None:
    """Keep the instance of a worker that failed, or will, for a look: it is not given back before that."""
    scheme, _, prefix = backend.partition(":")
    if scheme != "aws":
        raise UserError(f"{backend} rents no machines; an instance is kept with --backend aws:PREFIX")
    lab = open_lab(backend)
    from agents.standing import reserves
    from lab.aws.keeping import keeper
    instances = keeper(prefix)
    found = instances.find(instance)
    most, now = found.cost(minutes), time.time()
    month = lab.ledger.accounts.balance(month_key(now))
    if month is not None and most > month.free:
        raise UserError(f"{minutes} minutes of {found.type} cost up to {usd(most)}, and {usd(month.free)} of this "
                        f"month is free; ask for fewer, or `aether budget set` raises the cap")
    reserved = reserves(lab.ledger, now)
    instances.keep(found.id, minutes, now)
    if json:
        emit(Kept(instance=found.id, type=found.type, minutes=minutes, most_microusd=most, reserved=reserved))
        return
    stays = f"stays for {minutes} minutes, also without work, and costs up to {usd(most)}" if minutes else "may go"
    console().print(f"{found.id} ({found.type}) {stays}", markup=False, soft_wrap=True)
    if minutes and not reserved:
        console().print(UNRESERVED, markup=False, soft_wrap=True)
    if minutes:
        console().print(f"A shell on it: aws ssm start-session --target {found.id}", markup=False, soft_wrap=True)
