"""A laboratory that is made for a command's sake, and goes again where that fails: a mistake leaves nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cli.output import open_lab
from lab.errors import NotFound

if TYPE_CHECKING:
    from lab.backend import Backend


MARK = ".fresh"  # lies in a laboratory while it is being made, and nobody else counts on it
MADE = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "store", MARK)  # by such a command; the rest is not ours


@contextmanager
def made_for(address: str) -> Iterator[Backend]:
    """The laboratory at an address, made where there is none. One that was made here is taken away again if the block
    raises, with the folders above it that were made for it; one that has been run under settings never is, nor one that
    another command has found meanwhile."""
    if (known := _known(address)) is not None:
        _count_on(known)
        yield known
        return
    folder = Path(address.partition(":")[2])
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    made = [folder / name for name in MADE if not (folder / name).exists()]
    fresh = _marked(folder) and _known(address) is None  # of two that find none at the same moment, one is the maker
    lab = open_lab(address, create=True)
    if not fresh:
        _count_on(lab)
        yield lab
        return
    try:
        yield lab
    except BaseException:
        if (folder / MARK).exists() and lab.ledger.office.lease() is None and not lab.ledger.office.control().settings:
            for path in made:
                _remove(path)
            for place in missing:
                with suppress(OSError):  # somebody has put something there
                    place.rmdir()
        raise
    finally:
        (folder / MARK).unlink(missing_ok=True)


def _marked(folder: Path) -> bool:
    """False where it bears the mark already; what else may be wrong, opening it says."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch(exist_ok=False)
    except OSError:
        return False
    return True


def _count_on(lab: Backend) -> None:
    """Whoever makes it at this moment leaves it standing, whatever becomes of their own command."""
    if lab.folder is not None:
        (lab.folder / MARK).unlink(missing_ok=True)


def _known(address: str) -> Backend | None:
    try:
        return open_lab(address)
    except NotFound:
        if not address.startswith("local:"):  # a deploy makes those
            raise
        return None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
