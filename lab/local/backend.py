"""Opens a laboratory in a folder: `ledger.db`, `journal.jsonl`, `store/`, `outbox/`, `scratch/`."""

from __future__ import annotations

from pathlib import Path
from random import Random

from lab.backend import Backend
from lab.clock import Clock, SystemClock
from lab.errors import NotFound, Unavailable, UserError
from lab.experiment import JOB_CLASSES
from lab.ledger import Ledger
from lab.local.mailbox import FileMailbox
from lab.local.queue import SqliteQueue
from lab.local.store import FileStore
from lab.local.table import SqliteTable

DATABASE = "ledger.db"


def open_local(folder: Path, *, create: bool = False, clock: Clock | None = None) -> Backend:
    """The laboratory in `folder`. Raises NotFound unless it exists or `create` is given."""
    folder = folder.resolve()
    if (folder / "__init__.py").exists():  # such as `lab` in a checkout of Aether itself
        raise UserError(f"{folder} is a Python package, no place for a laboratory; go to a folder of your own, "
                        f"or choose another --backend local:DIR")
    if not (folder / DATABASE).exists() and not create:
        raise NotFound(f"no laboratory in {folder}; `aether run` makes one, or point --backend local:DIR at yours")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot make {folder}: {error.strerror}; choose another --backend local:DIR") from error
    return assemble(SqliteTable(folder / DATABASE), folder, clock or SystemClock())


def assemble(table: SqliteTable, folder: Path, clock: Clock, rng: Random | None = None) -> Backend:
    """The four parts over one open database."""
    return Backend(address=f"local:{folder}", ledger=Ledger(table, clock, rng), folder=folder, workplace=folder,
                   queues={name: SqliteQueue(table, name, clock.wall, rng) for name in JOB_CLASSES},
                   store=FileStore(folder / "store"), mailbox=FileMailbox(folder / "outbox"))
