"""`aether report`: the last report as text, the path of its page, or one composed now."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import DEFAULT_BACKEND, BackendOption, JsonOption, console, emit, open_lab
from lab.errors import NotFound

if TYPE_CHECKING:
    from lab.backend import Backend
    from lab.control import Report

NOW = "now-"  # how the keys of reports that a person asked for begin


def report(now: Annotated[bool, typer.Option("--now", help="Compose one as things stand.")] = False,
           html: Annotated[bool, typer.Option("--html", help="Only the path of the page, for a browser.")] = False,
           backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """The last report, or one composed now."""
    lab = open_lab(backend)
    found = _composed(lab) if now else _last(lab)
    page = str(lab.store.fetch(found.html)) if found.html else ""
    if page and lab.workplace is not None and (now or html):
        page = str(_named(Path(page), lab.workplace / "report.html"))
    if json:
        emit({"key": found.key, "subject": found.subject, "at": found.at, "text": found.text, "html": page})
    elif html:
        console().print(page, markup=False, soft_wrap=True)
    else:
        console().print(f"{found.subject}\n\n{found.text.rstrip()}", markup=False, soft_wrap=True)


def _named(page: Path, copy: Path) -> Path:
    """The page under a name that a browser knows what to do with."""
    from agents.reporter import copy_page
    if not copy.is_file() or copy.read_bytes() != page.read_bytes():
        copy_page(page.read_bytes(), copy)
    return copy


def _composed(lab: Backend) -> Report:
    from agents.reporter import report as compose
    at = time.time()
    return compose(lab, f"{NOW}{int(at)}", "asked for", at)


def _last(lab: Backend) -> Report:
    newest = lab.ledger.office.latest_page()
    if newest is None:
        raise NotFound("no report yet: one comes every hour and at the end; `aether report --now` composes one")
    return newest
