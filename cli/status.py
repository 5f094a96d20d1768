"""`aether status`: how a laboratory stands, in under a second, whether or not its daemon lives."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from cli.output import DEFAULT_BACKEND, BackendOption, JsonOption, console, emit, open_lab
from cli.watch import Watch

LOOK_S = 1.0


def status(
    backend: BackendOption = DEFAULT_BACKEND,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on looking, until Ctrl-C.")] = False,
    json: JsonOption = False,
) -> None:
    """What runs, what is best so far against each goal, what ended last, and what is spent.

    With --follow --json each look at which something has changed is one document on a line of its own.
    """
    watch = Watch(open_lab(backend))
    if not follow:
        _once(watch, json)
    elif json:
        _follow_json(watch)
    else:
        _follow(watch)


def _once(watch: Watch, json: bool) -> None:
    if json:
        emit(watch.status(time.time()))
    else:
        from cli.live import still
        console().print(still(watch.status(time.time())))


def _follow(watch: Watch) -> None:
    from rich.live import Live

    from cli.attend import interrupts
    from cli.live import still
    with interrupts() as told, Live(console=console(), auto_refresh=False, vertical_overflow="crop") as drawn:
        while not told:
            drawn.update(still(watch.status(time.time())), refresh=True)
            time.sleep(LOOK_S)
            watch.refresh()


def _follow_json(watch: Watch) -> None:
    import msgspec

    from cli.attend import interrupts
    last = b""
    with interrupts() as told:
        while not told:
            now = msgspec.json.encode(watch.status(time.time()))
            if now != last:
                typer.echo(now)
                last = now
            time.sleep(LOOK_S)
            watch.refresh()
