"""A laboratory that is made for a command's sake, and goes again where that fails: a mistake leaves nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.output import open_lab
from lab.errors import NotFound

if TYPE_CHECKING:
    from lab.backend import Backend


@contextmanager
def made_for(address: str) -> Iterator[Backend]:
    """The laboratory at an address, made where there is none. One that was made here is taken away again if the block
    raises, with the folders above it that were made for it; one that has been run under settings never is."""
    if (known := _known(address)) is not None:
        yield known
        return
    folder = Path(address.partition(":")[2])
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    others = set(folder.iterdir()) if not missing else set()
    lab = open_lab(address, create=True)
    try:
        yield lab
    except BaseException:
        if lab.folder is not None and lab.ledger.office.lease() is None and not lab.ledger.office.control().settings:
            for path in missing[-1:] or [path for path in folder.iterdir() if path not in others]:
                _remove(path)
        raise


def _known(address: str) -> Backend | None:
    try:
        return open_lab(address)
    except NotFound:
        return None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
