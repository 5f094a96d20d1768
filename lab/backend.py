"""The contract of a backend: a ledger, a queue for each job class, a store and a mailbox, opened by an address.

`open_backend("local:DIR")` keeps the whole laboratory in one folder. `aws:PREFIX` gives the same four on an account.
One suite of tests (`tests/lab/contract/`) runs against every implementation.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from lab.aws.requests import Requests
from lab.control import Report
from lab.errors import UserError
from lab.ledger import Ledger


class Message(msgspec.Struct, frozen=True):
    """A hint that work waits. `receipt` names this delivery; `received` counts deliveries of this message."""

    id: str
    body: str  # the experiment's id
    receipt: str
    received: int


class Queue(Protocol):
    """At-least-once hints for one job class. A message is invisible after a delivery until its time is up. Neither
    their order nor an exact count is promised."""

    def send(self, body: str) -> str: ...

    def receive(self, invisible_s: float, wait_s: float = 0.0) -> Message | None:
        """One, or None. Where asking costs money it waits up to `wait_s` for one to come; elsewhere it may not."""
        ...

    def extend(self, message: Message, invisible_s: float) -> None:
        """From now on. Like `done`, it raises nothing where the delivery is no longer the newest."""
        ...

    def done(self, message: Message) -> None: ...

    def give_back(self, message: Message) -> None:
        """Send it afresh, then delete this one, so that a person's interruption is not counted against the work."""
        ...

    def waiting(self) -> int:
        """About how many messages are there, visible or not."""
        ...

    def visible(self) -> int:
        """About how many of them could be received now."""
        ...


class Store(Protocol):
    """Files by the SHA-256 of their bytes, and named pointers. Bytes are checked against the hash on every read."""

    def put(self, path: Path) -> str:
        """Gives the hash. A file that is there already counts as stored now."""
        ...

    def put_bytes(self, data: bytes) -> str: ...

    def fetch(self, hash: str) -> Path:
        """A read-only local file with these bytes. Raises NotFound, Damaged."""
        ...

    def read(self, hash: str) -> bytes: ...

    def has(self, hash: str) -> bool: ...

    def pointer(self, name: str) -> str | None: ...

    def swap(self, name: str, expected: str | None, new: str) -> None:
        """Point `name` at `new` if it pointed at `expected`; Conflict if not."""
        ...

    def hashes(self) -> Iterable[tuple[str, int, float]]:
        """(hash, bytes, modified at) of all there is: for the sweep."""
        ...

    def remove(self, hash: str) -> None: ...

    def retire(self, hash: str, before: float) -> bool:
        """Remove it, unless it was stored, or stored again, after `before` (wall clock); whether it is gone."""
        ...


class Mailbox(Protocol):
    """Delivers a report at least once; the report's key stands in the subject, so a duplicate can be told."""

    def deliver(self, report: Report) -> str:
        """Gives where it went, for people."""
        ...


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    address: str
    ledger: Ledger
    queues: dict[str, Queue]
    store: Store
    mailbox: Mailbox
    folder: Path | None = None  # of a local lab; database, journal and locks live there
    rented: bool = False  # its machines are an account's, a fleet for each job class
    requests: Requests | None = None  # what this process asks of an account through it
    workplace: Path | None = None  # on this machine: scratch, logs, the page as last seen; of a local lab, its folder


def open_backend(address: str, *, create: bool = False) -> Backend:
    """The backend at `local:DIR` or `aws:PREFIX`. Raises UserError, with the fix, if there is none. `create` makes a
    local one; on an account only a deploy does."""
    scheme, _, rest = address.partition(":")
    if scheme == "local" and rest:
        from lab.local.backend import open_local
        return open_local(Path(rest), create=create)
    if scheme == "aws" and rest:
        from lab.aws.backend import open_aws
        return open_aws(rest)
    raise UserError(f"--backend {address!r}: write local:DIR, such as local:./lab, or aws:PREFIX")
