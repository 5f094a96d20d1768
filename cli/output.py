"""What commands share in speaking: options, tables, JSON and numbers, for a terminal or for a machine."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from lab.backend import Backend

BackendOption = Annotated[str, typer.Option(
    "--backend", envvar="AETHER_BACKEND", metavar="local:DIR|aws:PREFIX",
    help="The laboratory: a folder, or the prefix of one on an account.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For a machine: one JSON document.")]
SCHEMA = 1  # of documents that have none of their own
DEFAULT_BACKEND = "local:./lab"


def open_lab(address: str, *, create: bool = False) -> Backend:
    """The laboratory at an address. Raises NotFound, with the fix, if there is none."""
    from lab.backend import open_backend
    return open_backend(address, create=create)


def group(alone: str) -> typer.Typer:
    """Commands of one thing; where none is named, the one called `alone` is meant, and the options are its."""
    class Group(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            named = bool(args) and (not args[0].startswith("-") or args[0] == "--help")
            return super().parse_args(ctx, args if named else [alone, *args])
    return typer.Typer(cls=Group)


def new_op(what: str) -> str:
    """An op_id for something that a person has said once."""
    from secrets import token_hex
    return f"{what}.{token_hex(8)}"


def emit(value: Any) -> None:
    """One JSON object on standard output, which says by its `schema` how it is to be read."""
    document = {"schema": SCHEMA} | msgspec.to_builtins(value)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def console() -> Console:
    """The terminal; where it is none, plain text as wide as its lines."""
    from rich.console import Console
    found = Console(highlight=False, emoji=False)
    return found if found.is_terminal else Console(highlight=False, emoji=False, width=PIPE_COLUMNS)


PIPE_COLUMNS = 200


def table(*columns: str, title: str = "", rows: Iterable[Iterable[str]] = (), right: Iterable[str] = (),
          gives_way: str = "") -> Table:
    """A table in the house's dress. Columns named in `right` hold numbers. Cells are text, never markup. Where the
    terminal is too narrow the column `gives_way` is cut short, else those that hold no numbers are folded."""
    from rich import box
    from rich.table import Table
    from rich.text import Text
    found = Table(title=Text(title) if title else None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
                  pad_edge=False, show_edge=False)
    numeric = set(right)
    for column in columns:
        whole = column != gives_way if gives_way else column in numeric
        found.add_column(column, justify="right" if column in numeric else "left", no_wrap=whole,
                         overflow="ellipsis" if whole else "fold")
    for row in rows:
        found.add_row(*(_cell(clean(cell), name == gives_way) for name, cell in zip(columns, row, strict=True)))
    return found


def _cell(text: str, cut: bool) -> Text:
    from rich.text import Text
    return Text(text, no_wrap=True, overflow="ellipsis") if cut else Text(text)


def clean(text: str) -> str:
    """Text that strangers wrote, without what could steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def number(value: float | None, digits: int = 4) -> str:
    """Short and readable: 35.12, 0.9531, 12,345; a dash for what was not measured."""
    if value is None:
        return "–"
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def seconds(value: float) -> str:
    """A duration: 4.2 s, 3 min 20 s, 2 h 5 min."""
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def moment(wall: float) -> str:
    """A point in time, UTC."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S")


def shown_path(path: Path) -> str:
    """Relative to where the person stands, if it lies below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
