"""A laboratory in a test: a ledger with a daemon and an open budget, and the steps up to a running experiment."""

from __future__ import annotations

from itertools import count
from typing import Any

from lab.clock import Clock, SystemClock
from lab.experiment import Experiment, Outcome, Scores, Spec, Terms
from lab.ledger import Ledger
from lab.table import Table

USD = 1_000_000
BUDGET = "2026-11"
SUCCESS = Outcome(verdict="success", scores=Scores(mean={"psnr_y_db": 38.5}, clips={"drive": {"psnr_y_db": 38.5}}))
CRASH = Outcome(verdict="failed", reason="crash", detail="exit 1")
HARNESS_FAULT = Outcome(verdict="failed", reason="harness_fault", detail="the disk was full")


def spec(**params: Any) -> Spec:
    return Spec(track="curve", family="line", params=params, clips="0" * 64, seed=1, protocol=1)


def experiment(id: str, given: Spec | None = None, **fields: Any) -> Experiment:
    """A proposal; its specification is its own unless one is given."""
    given = given or spec(id=id)
    return Experiment(**{"id": id, "spec": given, "fingerprint": given.fingerprint(), "purpose": "explore",
                         "designer": "control"} | fields)


class Laboratory:
    """The ledger with a daemon that holds the lease, and every step under a fresh op_id."""

    def __init__(self, table: Table, clock: Clock | None = None, cap: int = 100 * USD) -> None:
        self.table, self.ledger = table, Ledger(table, clock or SystemClock())
        self.accounts, self.office = self.ledger.accounts, self.ledger.office
        self._ops, self._ids = count(1), count(1)
        self.epoch = self.office.take_lease("first", host="here", pid=1, observed=None, op_id=self.op())
        self.accounts.set_cap(BUDGET, cap, op_id=self.op())

    def op(self) -> str:
        return f"op-{next(self._ops):04d}"

    def propose(self, given: Experiment | None = None) -> str:
        given = given or experiment(f"e{next(self._ids):04d}")
        return self.ledger.propose(given, epoch=self.epoch, op_id=self.op())

    def queue(self, given: Experiment | None = None) -> str:
        id = self.propose(given)
        self.ledger.approve(id, epoch=self.epoch, op_id=self.op())
        return id

    def reserve(self, id: str, amount: int = USD, terms: Terms | None = None) -> str:
        return self.ledger.reserve(id, amount, (BUDGET,), price_usd_h=1.0, terms=terms, epoch=self.epoch,
                                   op_id=self.op())

    def ready(self, given: Experiment | None = None) -> str:
        """Queued, with its money reserved."""
        id = self.queue(given)
        self.reserve(id)
        return id

    def claim(self, id: str, worker: str = "w1") -> int:
        return self.ledger.claim(id, worker=worker, device_class="cpu2", op_id=self.op())

    def start(self, given: Experiment | None = None) -> tuple[str, int]:
        """Running: its id and fence."""
        id = self.ready(given)
        return id, self.claim(id)

    def finish(self, id: str, fence: int, outcome: Outcome = SUCCESS) -> str:
        return self.ledger.finish(id, fence, outcome, used_s=2.0, phases={"score": 2.0}, op_id=self.op())

    def release(self, id: str, fence: int, ending: Any = "interrupted") -> str:
        epoch = self.epoch if ending == "lost" else None
        return self.ledger.release(id, fence, ending, used_s=1.0, epoch=epoch, op_id=self.op())

    def settle(self, key: str, used: int = USD // 2, price_usd_h: float = 0.0) -> int:
        return self.accounts.settle(key, used, price_usd_h=price_usd_h, epoch=self.epoch, op_id=self.op()).amount

    def end(self, given: Experiment | None = None, outcome: Outcome = SUCCESS) -> str:
        """Finished and settled."""
        id, fence = self.start(given)
        self.finish(id, fence, outcome)
        self.settle(f"{id}.{fence}")
        return id
