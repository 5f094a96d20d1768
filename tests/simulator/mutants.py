"""Guards taken out one at a time: each mutant replaces one name of the product, and says what that would allow.

The simulator must notice each within a few seeds; a guard that nobody misses is no guard, or is not simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import simulator.disk
import simulator.staff

import gpu_workers.worker
import lab.guards
import lab.ledger
import lab.local.store
import lab.local.table
import lab.transaction
import orchestrator.attempts
import orchestrator.books
import orchestrator.leases
import orchestrator.messages
import orchestrator.picture
from lab.control import Change
from lab.experiment import LOST_LIMIT, MOVES, Attempt, Experiment, Terms
from lab.settings import Settings
from lab.table import Key
from lab.transaction import Transaction
from orchestrator.leases import Seen


class Mutant(NamedTuple):
    """`owner.name` becomes `value`; `allows` is what then can happen."""

    owner: Any
    name: str
    value: Any
    allows: str


def nothing(*_: Any, **__: Any) -> None:
    """In place of a guard."""


def _always_anew(self: Any, action: str, subject: str, op_id: str, decision: Callable[[Transaction], Any],
                 form: Any, reads: Sequence[Key]) -> Any:
    """`Transactor._once` without the look for an earlier answer."""
    transaction = Transaction(self._table)
    transaction.look([lab.transaction.HEAD, *reads])
    answer = decision(transaction)
    transaction.put("op", f"{op_id}#{self._table.get('head', 'changes')}", answer)
    self._commit(action, subject, op_id, transaction)
    return answer


def _view_first(self: Any) -> bool:
    """`Picture.follow` with the journal last."""
    changes: Sequence[Change] = self._ledger.changes(self.view.change, orchestrator.picture.ROUND)
    for change in changes:
        self._take_in(change)
    if self.view.control.settings != self._revision:
        self._adopt(self.view.control.settings)
        self.ready = False
    if self._around.journal is not None:
        self._around.journal.append(changes)
    return len(changes) == orchestrator.picture.ROUND


def _watch(patience: float) -> Callable[..., list[Seen]]:
    """`LeaseWatch.silent` without the fresh start after a pause of its own, and with patience for
    this share of a lease."""
    def silent(self: Any, attempts: Any, now: float) -> list[Seen]:
        before, self._since = self._since, {}
        found = []
        for seen in attempts:
            n, since = before.get((seen.experiment, seen.fence), (-1, now))
            self._since[(seen.experiment, seen.fence)] = (seen.n, since if n == seen.n else now)
            if n == seen.n and now - since >= patience * seen.lease_s:
                found.append(seen)
        return found
    return silent


def _in_place(self: Any, target: Path, data: bytes) -> None:
    """`FileStore._write_aside`, not aside."""
    self._files.write(target, data)


def _terms_in_force(attempt: Attempt, settings: Settings) -> Terms:
    return settings.limits.terms()


def _taken_on_trust(self: Any, t: Transaction, original: str | None) -> str | None:
    return original


def _only_in_a_row(experiment: Experiment) -> str:
    return "poison" if experiment.silences >= LOST_LIMIT else ""


def _never_stop(self: Any) -> float:
    return gpu_workers.worker.RETRY_S


MUTANTS = {
    "fence": Mutant(lab.guards, "check_fence", nothing, "a worker that lost its lease finishes another's attempt"),
    "running": Mutant(lab.guards, "check_running", nothing, "what is queued or ended is finished or checkpointed"),
    "epoch": Mutant(lab.guards, "check_epoch", nothing, "a daemon that was replaced goes on writing"),
    "moves": Mutant(lab.guards, "check_move", nothing, "any state follows any other"),
    "cancelled for ever": Mutant(MOVES, "cancelled", frozenset({"running", "queued"}),
                                 "what was cancelled starts again"),
    "reservation before work": Mutant(lab.guards, "check_reserved", nothing, "an experiment runs without money"),
    "free budget": Mutant(lab.guards, "check_free", nothing, "a reservation passes the cap"),
    "attempt over": Mutant(lab.guards, "check_attempt_over", nothing, "a running attempt is settled"),
    "one report a key": Mutant(lab.guards, "check_new_report", nothing, "a report is made twice and sent twice"),
    "parents exist": Mutant(lab.ledger.Ledger, "_require_parents", nothing, "lineage names what never was"),
    "a fingerprint runs once": Mutant(lab.ledger.Ledger, "_repeatable", _taken_on_trust, "a point is paid for twice"),
    "poison": Mutant(lab.ledger, "LOST_LIMIT", 10**6, "an experiment kills workers for ever"),
    "poison that gets on": Mutant(lab.ledger, "_poisonous", _only_in_a_row,
                                  "an experiment that gets a little further each time kills workers for ever"),
    "op_id": Mutant(lab.transaction.Transactor, "_once", _always_anew, "a repeated call acts twice"),
    "conditional write": Mutant(lab.local.table.SqliteTable, "_expect", nothing, "the last writer wins"),
    "check of reads": Mutant(lab.transaction.Transaction, "checks", [], "a decision rests on what has changed"),
    "fsync": Mutant(simulator.disk.Disk, "sync", nothing, "what was stored is gone after a power cut"),
    "write aside": Mutant(lab.local.store.FileStore, "_write_aside", _in_place, "half a file stands under a hash"),
    "journal first": Mutant(orchestrator.picture.Picture, "follow", _view_first, "decided on what no journal has"),
    "monotonic time": Mutant(simulator.staff.ProcessClock, "monotonic", simulator.staff.ProcessClock.wall,
                             "a clock that is set back lets a phase outlive its lease"),
    "self-stop": Mutant(gpu_workers.worker.Worker, "_outlast", _never_stop, "a phase outlives its lease"),
    "fresh start of the watch": Mutant(orchestrator.leases.LeaseWatch, "silent", _watch(1.0),
                                       "a daemon that slept ends the leases of workers that slept too"),
    "a whole lease of silence": Mutant(orchestrator.leases.LeaseWatch, "silent", _watch(1 / 3),
                                       "a lease ends before its worker has stopped"),
    "terms of the attempt": Mutant(orchestrator.attempts, "terms_of", _terms_in_force,
                                   "a worker runs by another lease than the daemon watches"),
    "sending again": Mutant(orchestrator.messages, "RESEND_S", 1e12, "a lost message is a lost experiment"),
    "settling what was cancelled": Mutant(orchestrator.books.Books, "settle_ended", nothing, "money stays reserved"),
}


@contextmanager
def taken_out(mutant: Mutant) -> Iterator[None]:
    """The product without this guard."""
    if isinstance(mutant.owner, dict):
        patch = mock.patch.dict(mutant.owner, {mutant.name: mutant.value})
    else:
        patch = mock.patch.object(mutant.owner, mutant.name, mutant.value)
    with patch:
        yield
