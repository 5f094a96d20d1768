"""One transaction of the ledger: what it read must still stand when it commits, and it becomes one numbered change.

A decision reads records, computes, and puts new images. Everything that it read and did not write is checked at the
commit, so a guard that held when it was asked still holds when the write lands. The change takes the next number in
the same commit, which is what makes `changes(since)` ordered and free of gaps on every backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from time import sleep
from typing import Any, TypeVar

import msgspec

from lab.canonical import canonical_json
from lab.control import Change, Image
from lab.errors import Conflict, Refused, Unavailable, UserError
from lab.table import Check, Key, Record, Table, Write

T = TypeVar("T")
HEAD = ("head", "changes")
TRIES = 60  # lost races in a row before the backend counts as unavailable


class Transaction:
    """What one decision has read and wants to write."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._read: dict[Key, Record | None] = {}  # a second look sees what the first saw
        self._versions: dict[Key, int] = {}
        self._writes: dict[Key, Write] = {}

    def read(self, kind: str, id: str, form: type[T]) -> T | None:
        """The record as `form`, or None. It may not change until the commit."""
        if (kind, id) not in self._read:
            self._read[(kind, id)] = self._table.get(kind, id)
        record = self._read[(kind, id)]
        self._versions[(kind, id)] = record.version if record else 0
        return msgspec.json.decode(record.body, type=form) if record else None

    def look(self, keys: Sequence[Key]) -> None:
        """Read at once what will be read: a decision that knows it beforehand asks once. What is never read then is not
        checked at the commit either."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._read]
        found = {(record.kind, record.id): record for record in self._table.get_many(missing)} if missing else {}
        self._read |= {key: found.get(key) for key in missing}

    def seen(self, key: Key) -> Record | None:
        """One that was looked at, whatever becomes of it until the commit."""
        return self._read[key]

    def put(self, kind: str, id: str, value: Any, tag: str = "") -> None:
        """Write `value` at the commit. A record that was not read must not exist."""
        expected = self._versions.get((kind, id), 0)
        self._writes[(kind, id)] = Write(kind, id, expected, canonical_json(value), tag)

    @property
    def writes(self) -> list[Write]:
        return list(self._writes.values())

    @property
    def checks(self) -> list[Check]:
        return [Check(kind, id, version) for (kind, id), version in self._versions.items()
                if (kind, id) not in self._writes]


class Transactor:
    """Runs decisions with `op_id`: a repeated call finds its first answer and changes nothing.

    A decision reads and puts through the transaction and returns the answer; it raises Refused to write nothing.
    """

    def __init__(self, table: Table, wall: Callable[[], float], rng: Random | None = None,
                 pause: Callable[[float], None] = sleep) -> None:
        self._table, self._wall, self._pause = table, wall, pause
        self._rng = rng or Random()

    def run(self, action: str, subject: str, op_id: str, decision: Callable[[Transaction], T],
            form: type[T], reads: Sequence[Key] = ()) -> T:
        """The decision's answer, committed once; `reads` is what it is known to need. Raises what the decision raises;
        Unavailable after many lost races."""
        for turn in range(TRIES):
            try:
                with self._table.session():
                    return self._once(action, subject, op_id, decision, form, reads)
            except Conflict:
                self._pause(self._rng.uniform(0, min(0.002 * 2**turn, 0.25)))
        raise Unavailable(f"{action} {subject}: lost {TRIES} races in a row; the backend is too busy")

    def _once(self, action: str, subject: str, op_id: str, decision: Callable[[Transaction], T],
              form: type[T], reads: Sequence[Key]) -> T:
        transaction = Transaction(self._table)
        transaction.look([("op", op_id), HEAD, *reads])
        known = transaction.seen(("op", op_id))
        if known is not None:
            return msgspec.json.decode(known.body, type=form)
        try:
            answer = decision(transaction)
        except (Refused, UserError):
            # An earlier call of ours, given up on as unanswered, may have landed just now: then we were refused by our
            # own success. Where a session locks out other writers this cannot happen.
            landed = self._table.get("op", op_id)
            if landed is None:
                raise
            return msgspec.json.decode(landed.body, type=form)
        transaction.put("op", op_id, answer)
        self._commit(action, subject, op_id, transaction)
        return answer

    def _commit(self, action: str, subject: str, op_id: str, transaction: Transaction) -> None:
        head = transaction.seen(HEAD)
        n = head.version + 1 if head else 1  # the head's version is the number of changes
        images = tuple(Image(w.kind, w.id, w.expected + 1, w.tag, msgspec.Raw(w.body)) for w in transaction.writes)
        change = Change(n=n, at=self._wall(), action=action, subject=subject, op_id=op_id, records=images)
        numbering = [Write(*HEAD, n - 1, canonical_json({"n": n})), Write("change", key(n), 0, canonical_json(change))]
        self._table.commit([*transaction.writes, *numbering], transaction.checks, label=action)


def key(n: int) -> str:
    """A change's number as an id that sorts."""
    return f"{n:012d}"
