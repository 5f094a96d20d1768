"""Heartbeats in the table. They are set without a transaction by whoever may write there, workers among them, and one
look reads those of all attempts: so what cannot be read, or tells of what nobody can have counted, is none.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lab.control import Beat
from lab.errors import Refused
from lab.table import Record, Table


class Beats:
    """By the names of their senders: `e00042.1` of an attempt, `daemon.7` of a daemon."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._said = set[str]()  # of which it was said that they cannot be read

    def set(self, name: str, beat: Beat) -> None:
        """Raises Refused for one that would be none."""
        body = msgspec.json.encode(beat)
        try:
            msgspec.json.decode(body, type=Beat)
        except msgspec.DecodeError as error:
            raise Refused(f"the heartbeat of {name} tells of what cannot be: {error}") from error
        self._table.set("beat", name, body)

    def last(self, name: str) -> Beat | None:
        record = self._table.get("beat", name)
        return self._read(record) if record is not None else None

    def some(self, names: Iterable[str]) -> dict[str, Beat]:
        """Of those where there is one."""
        found = ((record.id, self._read(record)) for record in self._table.get_many([("beat", name) for name in names]))
        return {name: beat for name, beat in found if beat is not None}

    def _read(self, record: Record) -> Beat | None:
        try:
            return msgspec.json.decode(record.body, type=Beat)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            if record.id not in self._said:
                import structlog  # here alone: commands start without it
                self._said.add(record.id)
                structlog.get_logger("beats").warning("an unreadable heartbeat counts as none", of=record.id,
                                                      why=str(error))
            return None
