"""What a ledger may forget: answers to calls that nobody repeats any more, and heartbeats of attempts that are settled.

An answer (`op`) is there for a caller whose reply was lost, which asks again within minutes. Answers are pruned in the
order of the changes up to the first that is young or about something that still lives, so one number tells how far.
Changes themselves are the truth and are never pruned.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lab.control import Change
from lab.experiment import Experiment
from lab.ledger import Ledger

RECENT_CHANGES = 1000  # whose answers stay, whatever a clock that jumped may say
PAGE = 500


class Pruning(msgspec.Struct, frozen=True):
    """`answers` are the op_ids of the changes up to number `upto`; `beats` are ids of heartbeats."""

    answers: tuple[str, ...]
    upto: int
    beats: tuple[str, ...]


def plan_pruning(ledger: Ledger, since: int, *, now: float, grace_s: float) -> Pruning:
    """`since` is what an earlier pruning came to."""
    live = {experiment.id for state in ("proposed", "queued", "running")
            for experiment in ledger.all_experiments(state)}
    answers, upto = list[str](), since
    for change in _changes(ledger, since):
        young = now - change.at < grace_s or change.n > ledger.last_change() - RECENT_CHANGES
        if young or change.subject.partition(".")[0] in live:
            break
        answers.append(change.op_id)
        upto = change.n
    return Pruning(tuple(answers), upto, tuple(_beats(ledger)))


def prune(ledger: Ledger, planned: Pruning) -> None:
    for first in range(0, len(planned.answers), PAGE):
        ledger.table.delete("op", planned.answers[first:first + PAGE])
    ledger.table.delete("beat", planned.beats)


def _beats(ledger: Ledger) -> Iterator[str]:
    """Of attempts that ended and were paid, and of daemons that left: nobody reads those."""
    lease = ledger.office.lease()
    unpaid = {reservation.experiment for reservation in ledger.accounts.open_reservations()}
    after = ""
    while page := ledger.table.page("beat", after=after, limit=PAGE):
        for record in page:
            subject, _, number = record.id.rpartition(".")
            current = subject == "daemon" and lease is not None and lease.epoch == int(number)
            if not current and (subject == "daemon" or (subject not in unpaid and not _runs(ledger, subject, number))):
                yield record.id
        after = page[-1].id


def _runs(ledger: Ledger, id: str, fence: str) -> bool:
    record = ledger.table.get("experiment", id)
    if record is None:
        return False
    experiment = msgspec.json.decode(record.body, type=Experiment)
    return experiment.state == "running" and experiment.fence == int(fence)


def _changes(ledger: Ledger, since: int) -> Iterator[Change]:
    while page := ledger.changes(since, PAGE):
        yield from page
        since = page[-1].n
