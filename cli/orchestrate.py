"""`aether orchestrate`: the daemon's process, alone. `aether run` starts it with workers."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import structlog
import typer

from cli.children import die_with
from cli.output import DEFAULT_BACKEND, BackendOption, open_lab
from lab.errors import UserError
from lab.experiment import JOB_CLASSES

MOST = 1000  # machines of a fleet

ParentOption = Annotated[int, typer.Option("--parent", hidden=True, help="End when this process ends.")]


def orchestrate(
    backend: BackendOption = DEFAULT_BACKEND,
    seed: Annotated[int | None, typer.Option(help="The same proposals each time, whatever happens on the way.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for another daemon to fall silent.")] = False,
    standing: Annotated[bool, typer.Option("--standing", help="Stay when the run has ended, and go on at a person's "
                                                              "next word or with the next month.")] = False,
    fleet: Annotated[list[str] | None, typer.Option(metavar="CLASS=N", help="So many machines of a job class may come "
                                                    "elsewhere, as cpu=4: there is work for them all.")] = None,
    parent: ParentOption = 0,
) -> None:
    """Run the daemon alone, under the settings in force (`aether settings push`). Workers run elsewhere."""
    fleets = dict(map(_fleet, fleet or ()))
    die_with(parent)
    log_to_stderr()
    from cli.watch import settings_in_force
    from orchestrator.main import serve
    opened = open_lab(backend)
    settings = settings_in_force(opened, opened.ledger.office.control().settings)
    greet(f"the daemon of {opened.address}; `aether work` adds workers, Ctrl-C ends it")
    typer.echo(serve(backend, settings, seed=seed, wait=wait, standing=standing, fleets=fleets))


def _fleet(said: str) -> tuple[str, int]:
    job_class, _, most = said.partition("=")
    if job_class not in JOB_CLASSES or not most.isdecimal() or int(most) > MOST:
        raise UserError(f"--fleet {said} is no fleet; write {' or '.join(f'{one}=N' for one in JOB_CLASSES)}, N up to "
                        f"{MOST}")
    return job_class, int(most)


def log_to_stderr(least: str = "info") -> None:
    """Lines for a person at a terminal; one JSON object a line for a file. Standard output is the command's own."""
    last: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        last = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, _process,
                    structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.format_exc_info, last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def greet(words: str) -> None:
    """At a terminal, where a silent process looks like a stuck one."""
    if sys.stderr.isatty():
        typer.echo(words, err=True)


def _process(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {**event, "pid": os.getpid()}
