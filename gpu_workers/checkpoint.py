"""A phase's live output in the store: under a first line of its experiment's own, so that it may go with its successor.

The store is content-addressed, and two trainings may well leave the same bytes. Under its mark a checkpoint is named by
one record alone, and whoever holds that record's lease may remove it as soon as the record names a newer one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

LIVE_BYTES = 256 << 20  # of one checkpoint; it is copied every few seconds while its box stands still


def marked(id: str, phase: str) -> bytes:
    return f"checkpoint of {id}/{phase}\n".encode()


def mark(source: Path, target: Path, line: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as bare, target.open("wb") as file:
        file.write(line)
        shutil.copyfileobj(bare, file)


def unmark(source: Path, target: Path, line: bytes) -> bool:
    """The bytes without the mark; false, and nothing written, where it bears another or none."""
    with source.open("rb") as file:
        if file.read(len(line)) != line:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as bare:
            shutil.copyfileobj(file, bare)
    return True
