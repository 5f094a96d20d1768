"""A lab at rest: its run has ended, and nothing has come since that asks for another.

A daemon that stays (on an account its machine does) must not begin again by itself: at a goal that is reached, or a
budget that is spent, it would end at once, and send a report each time. What asks for a run stands in the changes, so a
process that was started afresh knows as much as the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from signal import SIGINT, SIGTERM

import msgspec

from lab.clock import month_key
from lab.control import Change
from lab.ledger import Ledger
from orchestrator.daemon import signal_op

WORDS = frozenset({"budget", "control", "idea", "settings"})  # actions by which a person asks to go on
PAGE = 20


class Rest:
    """Follows the changes with one small read a look."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen = -1
        self._left_at: float | None = None

    def lasts(self, now: float) -> bool:
        """Whether the lab rests at `now` (wall clock): a new month has a budget of its own, and ends it."""
        last = self._ledger.last_change()
        if last != self._seen:
            self._seen, self._left_at = last, self._left()
        return self._left_at is not None and month_key(self._left_at) == month_key(now)

    def _left(self) -> float | None:
        """When the last daemon left by itself, if no person said anything since."""
        lease = self._ledger.office.lease()
        if lease is None or lease.holder:
            return None
        since = next((one for one in self._newest() if one.action in WORDS or one.action == "leave_lease"), None)
        ended = since is not None and since.action == "leave_lease" and not self._told_to_go(lease.epoch)
        return since.at if since is not None and ended else None

    def _told_to_go(self, epoch: int) -> bool:
        """By a signal: its machine was to go, and the run goes on with the next one."""
        return any(self._ledger.table.get("op", signal_op(epoch, one)) for one in (SIGINT, SIGTERM))

    def _newest(self) -> Iterator[Change]:
        before = ""
        while page := self._ledger.table.page("change", after=before, limit=PAGE, newest_first=True):
            yield from (msgspec.json.decode(record.body, type=Change) for record in page)
            before = page[-1].id
