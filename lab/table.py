"""The one primitive under the ledger: a table of versioned records with conditional transactions.

A backend implements this and nothing else of the ledger, so the rules of the laboratory (`lab/ledger.py`) are written
once and cannot differ between SQLite and DynamoDB. A transaction writes all of its records or none; each write
names the version that it saw (0: the record must not exist), and each check names a version that must still stand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

Key = tuple[str, str]  # kind and id


class Record(msgspec.Struct, frozen=True):
    """A stored record. `version` counts its writes from 1; `body` is JSON; `tag` is what it can be listed by."""

    kind: str
    id: str
    version: int
    body: bytes
    tag: str = ""

    def digest(self) -> bytes:
        """SHA-256 over everything above: stored beside the record and compared at every read."""
        head = f"{self.kind}\0{self.id}\0{self.version}\0{self.tag}\0".encode()
        return hashlib.sha256(head + self.body).digest()


class Write(msgspec.Struct, frozen=True):
    """Put this body if the record still has version `expected`; it then has `expected + 1`."""

    kind: str
    id: str
    expected: int
    body: bytes
    tag: str = ""

    def record(self) -> Record:
        """What stands in the table once this is committed."""
        return Record(self.kind, self.id, self.expected + 1, self.body, self.tag)


class Check(msgspec.Struct, frozen=True):
    """Commit only if the record still has this version (0: still does not exist)."""

    kind: str
    id: str
    expected: int


class Table(Protocol):
    """Raises Conflict (a version moved, nothing was written), Unavailable (not known whether it was written; call
    again with the same op_id), Damaged (a record's bytes do not match its hash)."""

    def get(self, kind: str, id: str) -> Record | None: ...

    def get_many(self, keys: Sequence[Key]) -> Sequence[Record]:
        """Those that exist, in the order given, each as it stood at some moment of the call and no two at the same one:
        where each request takes its time, far fewer of them."""
        ...

    def page(self, kind: str, *, tag: str | None = None, after: str = "", limit: int = 100,
             newest_first: bool = False) -> Sequence[Record]:
        """One page in the order of ids, those after `after` (before it where `newest_first` and `after` is given)."""
        ...

    def commit(self, writes: Sequence[Write], checks: Sequence[Check] = (), *, label: str = "") -> None:
        """All or nothing. `label` names the transaction for probes and logs. At most 100 writes and checks."""
        ...

    def set(self, kind: str, id: str, body: bytes, tag: str = "") -> None:
        """An unconditional write for what needs no history: heartbeats. No change is recorded."""
        ...

    def delete(self, kind: str, ids: Iterable[str]) -> None: ...

    def session(self) -> AbstractContextManager[None]:
        """Read, decide and commit inside. A backend that can lock out other writers does so here; one that cannot
        does nothing, and a lost race shows as Conflict."""
        ...
