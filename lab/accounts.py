"""The money in the ledger: budgets with hard caps, reservations taken before a cost can arise, entries settled once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeVar

import msgspec
from msgspec.structs import replace

from lab import guards
from lab.clock import Clock
from lab.control import DaemonLease
from lab.errors import NotFound
from lab.experiment import Experiment
from lab.money import Bill, Budget, Entry, Microusd, Reservation
from lab.office import DAEMON, require_epoch
from lab.table import Record, Table
from lab.transaction import Transaction, Transactor

BILL = ("bill", "latest")
AFTER_ATTEMPTS = "e~"  # sorts after attempts' entries (`e00042.1`) and before the house's (`overhead.7.1`, `rest.7.1`)
What = Literal["attempt", "overhead", "model"]
T = TypeVar("T")


class Accounts:
    def __init__(self, transactor: Transactor, table: Table, clock: Clock) -> None:
        self._transactor, self._table, self._clock = transactor, table, clock

    def set_cap(self, id: str, cap: Microusd, *, op_id: str) -> Budget:
        """Open a budget, or change its cap: what is spent and reserved stays. A cap below that leaves `free` negative,
        and nothing more is reserved until it is not."""
        def decide(t: Transaction) -> Budget:
            old = t.read("budget", id, Budget) or Budget(id=id, cap=0, free=0)
            new = replace(old, cap=cap, free=old.free + cap - old.cap)
            t.put("budget", id, new)
            return new
        return self._transactor.run("budget", id, op_id, decide, Budget)

    def reserve_overhead(self, key: str, amount: Microusd, budgets: tuple[str, ...], *, price_usd_h: float,
                         what: What = "overhead", anyway: bool = False, epoch: int, op_id: str) -> bool:
        """Reserve what belongs to no attempt, ahead of time: an hour of the orchestrator, a model call. What arises
        `anyway` is written down also where it is not free, and takes nothing then; gives whether it was taken."""
        def decide(t: Transaction) -> bool:
            require_epoch(t, epoch)
            if anyway and any(_budget(t, id).free < amount for id in budgets):
                self._note(t, key, amount, budgets, what, None, price_usd_h, taken=False)
                return False
            self.take(t, key, amount, budgets, what, None, price_usd_h)
            return True
        return self._transactor.run("reserve_overhead", key, op_id, decide, bool)

    def take(self, t: Transaction, key: str, amount: Microusd, budgets: tuple[str, ...], what: What,
             experiment: str | None, price_usd_h: float) -> str:
        """Within a transaction: subtract from each budget's `free`, or raise OverBudget."""
        self._note(t, key, amount, budgets, what, experiment, price_usd_h)
        for id in budgets:
            budget = _budget(t, id)
            guards.check_free(budget, amount)
            t.put("budget", id, replace(budget, free=budget.free - amount, reserved=budget.reserved + amount))
        return key

    def _note(self, t: Transaction, key: str, amount: Microusd, budgets: tuple[str, ...], what: What,
              experiment: str | None, price_usd_h: float, *, taken: bool = True) -> None:
        guards.check_new_reservation(t.read("reservation", key, Reservation) is not None, key)
        t.put("reservation", key, Reservation(key=key, amount=amount, budgets=budgets, what=what, taken=taken,
                                              experiment=experiment, price_usd_h=price_usd_h, at=self._clock.wall()),
              tag="open")

    def settle(self, key: str, used: Microusd, *, used_s: float = 0.0, price_usd_h: float = 0.0, epoch: int,
               op_id: str) -> Entry:
        """Turn a reservation into an entry of what was used, never above what was reserved; the rest is free again.
        `price_usd_h` is that of the machine, where it is another than was reserved."""
        def decide(t: Transaction) -> Entry:
            require_epoch(t, epoch)
            reservation = t.read("reservation", key, Reservation)
            if reservation is None:
                raise NotFound(f"no reservation {key!r}")
            guards.check_unsettled(reservation.settled, key)
            entry = Entry(key=key, amount=min(used, reservation.amount), budgets=reservation.budgets,
                          what=reservation.what, experiment=reservation.experiment, used_s=used_s,
                          price_usd_h=price_usd_h, at=self._clock.wall())
            self._book(t, reservation, entry)
            return entry
        return self._transactor.run("settle", key, op_id, decide, Entry, reads=[DAEMON, ("reservation", key)])

    def book_at_rest(self, key: str, amount: Microusd, budgets: tuple[str, ...], *, used_s: float, epoch: int,
                     op_id: str) -> Entry:
        """What the house cost since the daemon of that epoch left, or before the first one, for epoch 0. It arises
        whether or not it is free, so nobody reserved it, and it is booked also where that passes a cap. Raises Stale
        where a daemon has come since."""
        def decide(t: Transaction) -> Entry:
            guards.check_at_rest(t.read(*DAEMON, DaemonLease), epoch)
            guards.check_new_reservation(t.read("reservation", key, Reservation) is not None, key)
            for id in budgets:
                budget = _budget(t, id)
                t.put("budget", id, replace(budget, free=budget.free - amount, spent=budget.spent + amount))
            at = self._clock.wall()
            t.put("reservation", key, Reservation(key=key, amount=amount, budgets=budgets, what="overhead", at=at,
                                                  settled=True), tag="settled")
            entry = Entry(key=key, amount=amount, budgets=budgets, what="overhead", used_s=used_s, at=at)
            t.put("entry", key, entry)
            return entry
        return self._transactor.run("book_at_rest", key, op_id, decide, Entry)

    def note_bill(self, bill: Bill, *, epoch: int, op_id: str) -> float:
        """What the account was billed, in place of what was told before; gives when it was asked. One that could not be
        read leaves the older figures, and says why."""
        def decide(t: Transaction) -> float:
            require_epoch(t, epoch)
            old = t.read(*BILL, Bill)
            kept = old if old is not None and bill.why else bill
            t.put(*BILL, replace(kept, at=bill.at, why=bill.why))
            return bill.at
        return self._transactor.run("note_bill", bill.end, op_id, decide, float)

    def bill(self) -> Bill | None:
        """The last that was told."""
        record = self._table.get(*BILL)
        return msgspec.json.decode(record.body, type=Bill) if record else None

    def balance(self, id: str) -> Budget | None:
        record = self._table.get("budget", id)
        return msgspec.json.decode(record.body, type=Budget) if record else None

    def reservation(self, key: str) -> Reservation | None:
        record = self._table.get("reservation", key)
        return msgspec.json.decode(record.body, type=Reservation) if record else None

    def open_reservations(self) -> Iterator[Reservation]:
        yield from self._all("reservation", Reservation, "open")

    def entries(self) -> Iterator[Entry]:
        yield from self._all("entry", Entry, None)

    def latest_attempts(self, limit: int) -> list[Entry]:
        """The entries of the last attempts that cost something, by key, the newest first."""
        return [msgspec.json.decode(record.body, type=Entry) for record in latest_attempts(self._table, limit)]

    def _book(self, t: Transaction, reservation: Reservation, entry: Entry) -> None:
        charged = [("experiment", entry.experiment)] if entry.experiment is not None else []
        t.look([*(("budget", id) for id in reservation.budgets), *charged])
        held = reservation.amount if reservation.taken else 0
        for id in reservation.budgets:
            budget = _budget(t, id)
            t.put("budget", id, replace(budget, reserved=budget.reserved - held, spent=budget.spent + entry.amount,
                                        free=budget.free + held - entry.amount))
        t.put("reservation", reservation.key, replace(reservation, settled=True), tag="settled")
        t.put("entry", entry.key, entry)
        if entry.experiment is not None:
            self._charge(t, entry.experiment, reservation, entry)

    def _charge(self, t: Transaction, id: str, reservation: Reservation, entry: Entry) -> None:
        """The experiment's own cost; a reservation that no attempt took (it was cancelled first) leaves it too."""
        experiment = t.read("experiment", id, Experiment)
        guards.check_attempt_over(experiment, entry.key)
        guards.check_billed(experiment, reservation, entry)
        if experiment is not None:
            kept = None if experiment.reservation == entry.key else experiment.reservation
            t.put("experiment", id, replace(experiment, cost_microusd=experiment.cost_microusd + entry.amount,
                                            reservation=kept), tag=experiment.state)

    def _all(self, kind: str, form: type[T], tag: str | None) -> Iterator[T]:
        after = ""
        while page := self._table.page(kind, tag=tag, after=after, limit=500):
            yield from (msgspec.json.decode(record.body, type=form) for record in page)
            after = page[-1].id


def latest_attempts(table: Table, limit: int) -> list[Record]:
    """See `Accounts.latest_attempts`; however many hours of the house were settled since."""
    found, after = list[Record](), AFTER_ATTEMPTS
    while len(found) < limit and (page := table.page("entry", after=after, limit=limit, newest_first=True)):
        found += (record for record in page if msgspec.json.decode(record.body, type=Entry).telling)
        after = page[-1].id
    return found[:limit]


def _budget(t: Transaction, id: str) -> Budget:
    budget = t.read("budget", id, Budget)
    if budget is None:
        raise NotFound(f"no budget {id!r}; the daemon opens it, or `aether budget set`")
    return budget
