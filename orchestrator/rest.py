"""A lab at rest: its run has ended, and nothing has come since that asks for another.

A daemon that stays (on an account its machine does) must not begin again by itself: at a goal that is reached, or a
budget that is spent, it would end at once, and send a report each time. What asks for a run stands in the changes, so a
process that was started afresh knows as much as the one before it. Only a word that lets work go on asks for one: a
second stop, a pause or a smaller budget does not. It counts from when the run began to end: the daemon that waited for
the last work to end could not follow it.
"""

from __future__ import annotations

from collections.abc import Iterator
from signal import SIGINT, SIGTERM
from typing import NamedTuple

import msgspec

from lab.clock import month_key
from lab.control import Change, Control
from lab.ledger import Ledger
from lab.money import Budget
from lab.transaction import key
from orchestrator.books import open_op
from orchestrator.daemon import signal_op

PAGE = 20


class Left(NamedTuple):
    """Since when (wall clock) nobody runs the lab: since the daemon of that epoch left it with its run, or for epoch 0,
    where none has come, since its first change."""

    epoch: int
    at: float


class Rest:
    """Follows the changes with one small read a look. `left`: since when nobody runs the lab, as last found, whether or
    not it rests; None where a run is to go on, or nothing has been written."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen = -1
        self._rests = False
        self.left: Left | None = None

    def lasts(self, now: float) -> bool:
        """Whether the lab rests at `now` (wall clock): a new month has a budget of its own, and ends it."""
        last = self._ledger.last_change()
        if last != self._seen:
            self._seen, (self.left, self._rests) = last, self._look()
        return self._rests and self.left is not None and month_key(self.left.at) == month_key(now)

    def _look(self) -> tuple[Left | None, bool]:
        """What `left` is, and whether no person has asked for more since the run began to end."""
        lease = self._ledger.office.lease()
        if lease is None:
            return next((Left(0, first.at) for first in self._ledger.changes(0, 1)), None), False
        if lease.carried:
            return None, False
        left, since = None, list[Change]()
        for change in self._newest():
            if left is None and change.action == "leave_lease":
                left = change
            if left is not None and change.n <= (lease.ending or left.n):
                break
            since.append(change)
        if left is None:
            return None, False
        return Left(lease.epoch, left.at), not (self._told_to_go(lease.epoch) or self._asked(since))

    def _asked(self, since: list[Change]) -> bool:
        """Whether the changes, the newest first, ask for a run. A later stop takes back what did, and no run would get
        anywhere while a pause stands."""
        control = self._ledger.office.control()
        answers = (self._asks(change, control) for change in since)
        return not control.paused and next((one for one in answers if one is not None), False)

    def _asks(self, change: Change, control: Control) -> bool | None:
        """Whether this one asks for a run; None where it says nothing about it."""
        if change.action in ("settings", "idea"):
            return True
        if change.action == "budget":
            return self._raised(change) or None
        if change.action != "control":
            return None
        said = change.subject.split(", ")
        if "stop" in said:
            return False
        lets_go_on = "override_until" in said and control.override_until > change.at
        return "paused" in said or lets_go_on or None

    def _raised(self, change: Change) -> bool:
        """Whether a person gave a budget more than it had, and something is free now."""
        now = self._ledger.accounts.balance(change.subject)
        if now is None or now.free <= 0 or change.op_id == open_op(change.subject):
            return False
        caps = (msgspec.json.decode(image.body, type=Budget).cap for one in self._newest(change.n)
                for image in one.records if (image.kind, image.id) == ("budget", change.subject))
        return now.cap > next(caps, 0)

    def _told_to_go(self, epoch: int) -> bool:
        """By a signal to its process alone, which ended the run: whoever starts another process wants another run."""
        return any(self._ledger.table.get("op", signal_op(epoch, one)) for one in (SIGINT, SIGTERM))

    def _newest(self, before: int | None = None) -> Iterator[Change]:
        after = key(before) if before is not None else ""
        while page := self._ledger.table.page("change", after=after, limit=PAGE, newest_first=True):
            yield from (msgspec.json.decode(record.body, type=Change) for record in page)
            after = page[-1].id
