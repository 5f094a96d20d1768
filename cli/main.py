"""`aether`: the table of commands, and how they end.

A command's module is imported only when that command is run, so that the front door answers at once. Exit codes: 0, 2
for a person's mistake, 1 for ours, 130 for Ctrl-C. An error is one line that names the fix; a traceback is shown with
`--debug`, which may stand anywhere before a `--`.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from types import FrameType
from typing import Annotated, NamedTuple

import typer

from lab.errors import AetherError

FAULT_OF_OURS, INTERRUPTED = 1, 130


class Row(NamedTuple):
    """A command: its name, `module:attribute` of a function or a Typer app, and its line in the help."""

    name: str
    target: str
    help: str
    panel: str


LAB, RESULTS, CODEC, HOUSE = "The laboratory", "Results", "Codec", "Upkeep"
COMMANDS = (
    Row("demo", "cli.demo:demo", "Real codec experiments on the footage shipped with Aether, in five minutes.", LAB),
    Row("init", "cli.init:init", "Write a commented aether.toml here.", LAB),
    Row("run", "cli.run:run", "Run the laboratory: daemon, workers and report in one.", LAB),
    Row("status", "cli.status:status", "What runs, what is best so far, what is spent.", LAB),
    Row("pause", "cli.control:pause", "Start nothing new; what runs goes on.", LAB),
    Row("resume", "cli.control:resume", "Take back a pause.", LAB),
    Row("stop", "cli.control:stop", "End the run, once what runs has ended or now.", LAB),
    Row("budget", "cli.budget:app", "Show the money, set the month's cap, or override its levels.", LAB),
    Row("settings", "cli.settings:app", "Show, compare or push the settings in force.", LAB),
    Row("clips", "cli.clips:app", "The laboratory's footage and its roles.", LAB),
    Row("experiments", "cli.experiments:app", "List, show, compare or cancel experiments.", RESULTS),
    Row("report", "cli.report:report", "The last report, or one composed now.", RESULTS),
    Row("export", "cli.export:export", "Take an experiment away: decoder, weights, card, licence, command.", RESULTS),
    Row("reproduce", "cli.reproduce:reproduce", "Run an experiment again and compare its numbers.", RESULTS),
    Row("codec", "cli.codec:app", "Encode, decode, compare and benchmark video.", CODEC),
    Row("orchestrate", "cli.orchestrate:orchestrate", "The daemon alone; workers elsewhere.", HOUSE),
    Row("work", "cli.work:app", "One worker alone; or keep a worker's instance for a look.", HOUSE),
    Row("gc", "cli.gc:gc", "Remove what no experiment needs any more.", HOUSE),
    Row("doctor", "cli.doctor:doctor", "Check this machine and the laboratory; repair from the journal.", HOUSE),
)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line; gives the exit code."""
    arguments, debug = _without_debug(arguments)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.")  # of packages on each other
    with _interrupts() as heard:
        try:
            app = build(next((word for word in arguments if not word.startswith("-")), ""))
            code = app(list(arguments), standalone_mode=False, prog_name="aether")
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except BrokenPipeError:  # the reader, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (KeyboardInterrupt, typer.Abort):
            return INTERRUPTED
        except Exception as error:
            if debug:
                raise
            if heard:  # ffmpeg heard it too, and what it left undone is no fault to speak of
                return INTERRUPTED
            return _tell(error)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Grows with each Ctrl-C, which raises KeyboardInterrupt as ever. Python prints one that was raised where nothing
    can hear it, such as in a library's call back; that would be noise."""
    heard: list[int] = []
    before, told = signal.getsignal(signal.SIGINT), sys.unraisablehook

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        signal.default_int_handler(number, frame)

    def lost(of: sys.UnraisableHookArgs) -> None:
        if not isinstance(of.exc_value, KeyboardInterrupt):
            told(of)

    if before is not signal.default_int_handler:  # a shell has it ignored, for a command in the background
        yield heard
        return
    signal.signal(signal.SIGINT, hear)
    sys.unraisablehook = lost
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = told


def build(asked: str) -> typer.Typer:
    """The application with the command `asked` loaded; of the others it knows their names and their help."""
    app = typer.Typer(name="aether", help="A laboratory that runs itself: codec experiments proposed, run, measured "
                      "and paid for.", callback=_front, add_completion=False, no_args_is_help=True)
    for row in COMMANDS:
        if row.name != asked:
            app.command(row.name, help=row.help, rich_help_panel=row.panel)(_not_loaded)
            continue
        module, _, attribute = row.target.partition(":")
        loaded = getattr(import_module(module), attribute)
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=row.name, help=row.help)
        else:
            app.command(row.name, help=loaded.__doc__ or row.help)(loaded)
    return app


def _front(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.",
                                                 callback=lambda asked: _version(asked), is_eager=True)] = False,
           debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    pass


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"aether {version('aether-lab')}")
        raise typer.Exit


def _not_loaded() -> None:
    raise AssertionError("a command that was not asked for has run")


def _without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    ours, rest = list(arguments[:end]), list(arguments[end:])
    return [word for word in ours if word != "--debug"] + rest, "--debug" in ours


def _tell(error: Exception) -> int:
    """One line for each fault, and the exit code."""
    if isinstance(error, typer.TyperException):
        context, line = getattr(error, "ctx", None), error.format_message().rstrip(".").replace("Value error, ", "")
        if line:  # without one the help was shown, which says it all
            typer.echo(f"error: {line}; see `{context.command_path if context else 'aether'} --help`", err=True)
        return error.exit_code
    if isinstance(error, AetherError):
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        typer.echo(f"error: {error.filename or 'the system'}: {error.strerror}; free some space, or make it writable "
                   f"for you", err=True)
        return FAULT_OF_OURS
    typer.echo(f"error: {type(error).__name__}: {error}. This is a fault of Aether; `--debug` shows where", err=True)
    return FAULT_OF_OURS


if __name__ == "__main__":
    sys.exit(run_command(sys.argv[1:]))
