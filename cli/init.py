"""`aether init`: a commented aether.toml, made from the same descriptions that check it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.output import console, shown_path
from lab.errors import UserError
from lab.settings import SETTINGS_FILE, default_text


def init(folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(),
         force: Annotated[bool, typer.Option("--force", help="Replace one that is there.")] = False) -> None:
    """Write a commented aether.toml with every key at its default."""
    file = folder / SETTINGS_FILE
    if file.exists() and not force:
        raise UserError(f"{file} exists already; --force replaces it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(default_text())
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}; choose another folder") from error
    console().print(f"wrote {shown_path(file)}; name your footage in it as [[clips]] or with `aether clips add FILE`, "
                    "then `aether run`", markup=False,
                    soft_wrap=True)
