"""`aether orchestrate` and `aether work`: the daemon's and a worker's process, alone. `aether run` starts both."""

from __future__ import annotations

import math
import os
import sys
from typing import Annotated, Literal

import structlog
import typer

from cli.children import die_with
from cli.output import DEFAULT_BACKEND, BackendOption, open_lab

ParentOption = Annotated[int, typer.Option("--parent", hidden=True, help="End when this process ends.")]


def orchestrate(
    backend: BackendOption = DEFAULT_BACKEND,
    seed: Annotated[int | None, typer.Option(help="The same proposals each time, whatever happens on the way.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for another daemon to fall silent.")] = False,
    standing: Annotated[bool, typer.Option("--standing", help="Stay when the run has ended, and go on at a person's "
                                                              "next word or with the next month.")] = False,
    parent: ParentOption = 0,
) -> None:
    """Run the daemon alone, under the settings in force (`aether settings push`). Workers run elsewhere."""
    die_with(parent)
    log_to_stderr()
    from cli.watch import settings_in_force
    from orchestrator.main import serve
    opened = open_lab(backend)
    settings = settings_in_force(opened, opened.ledger.office.control().settings)
    _greet(f"the daemon of {opened.address}; `aether work` adds workers, Ctrl-C ends it")
    typer.echo(serve(backend, settings, seed=seed, wait=wait, standing=standing))


def work(
    backend: BackendOption = DEFAULT_BACKEND,
    name: Annotated[str, typer.Option(help="How it is called in attempts; default: host and process.")] = "",
    job_class: Annotated[Literal["cpu", "gpu"], typer.Option(help="The queue that it works at.")] = "cpu",
    idle_minutes: Annotated[float, typer.Option(min=0, help="Leave after so long without work.")] = math.inf,
    parent: ParentOption = 0,
) -> None:
    """Run one worker until it is told to go (Ctrl-C): it then gives its work back."""
    die_with(parent)
    log_to_stderr()
    from gpu_workers.main import serve
    _greet(f"a worker of {backend}; Ctrl-C gives its work back")
    serve(backend, name=name, job_class=job_class, idle_s=60 * idle_minutes)


def log_to_stderr() -> None:
    """Lines for a person at a terminal; one JSON object a line for a file."""
    last: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        last = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, _process,
                    structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.format_exc_info, last],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def _greet(words: str) -> None:
    """At a terminal, where a silent process looks like a stuck one."""
    if sys.stderr.isatty():
        typer.echo(words, err=True)


def _process(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {**event, "pid": os.getpid()}
