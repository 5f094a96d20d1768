"""Hypothesis drives the ledger through any order of calls, with lost replies, beside a model of a few lines.

The model is the table of moves and the arithmetic of one budget. After every call the two must agree on who was
refused, on every state, on the money, and on the numbers of the changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lab.errors import Refused, Unavailable
from lab.experiment import Outcome
from lab.local.journal import replay
from lab.local.table import SqliteTable
from support.laboratory import BUDGET, CRASH, HARNESS_FAULT, SUCCESS, Laboratory, experiment, spec
from support.tables import LosesReplies

CAP = 8
INDEX, AMOUNT, LOST_REPLY = st.integers(0, 4), st.integers(0, 6), st.booleans()


@dataclass
class Known:
    """What the model knows of one experiment."""

    spec: int
    state: str = "proposed"
    reservation: str | None = None
    reservations: int = 0
    endings: list[str] = field(default_factory=list)
    outcome: Outcome | None = None


class LedgerBesideItsModel(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.line = LosesReplies(SqliteTable(":memory:"))
        self.lab = Laboratory(self.line, cap=CAP)
        self.known: dict[str, Known] = {}
        self.open_money: dict[str, tuple[int, str]] = {}  # reservation → (amount, experiment)
        self.spent = 0
        self.changes = self.lab.ledger.last_change()
        for n in range(3):  # any rule may be left out of a run, and without a proposal nothing would happen at all
            self.propose(n, False)

    # ------------------------------------------------------------------ the calls

    @rule(spec_n=INDEX, reply_lost=LOST_REPLY)
    def propose(self, spec_n: int, reply_lost: bool) -> None:
        runs = [known for known in self.known.values() if known.spec == spec_n]
        blocked = any(known.state != "cancelled" and known.outcome != HARNESS_FAULT for known in runs)
        id = f"e{len(self.known)}"
        if self.call(reply_lost, not blocked, self.lab.ledger.propose, experiment(id, spec(n=spec_n)),
                     epoch=self.lab.epoch):
            self.known[id] = Known(spec_n)

    @rule(which=INDEX, reply_lost=LOST_REPLY)
    def approve(self, which: int, reply_lost: bool) -> None:
        id, known = self.pick(which)
        if known and self.call(reply_lost, known.state == "proposed", self.lab.ledger.approve, id,
                               epoch=self.lab.epoch):
            known.state = "queued"

    @rule(which=INDEX, amount=AMOUNT, reply_lost=LOST_REPLY)
    def reserve(self, which: int, amount: int, reply_lost: bool) -> None:
        id, known = self.pick(which)
        if known is None:
            return
        fits = self.spent + sum(taken for taken, _ in self.open_money.values()) + amount <= CAP
        allowed = known.state == "queued" and known.reservation is None and fits
        if self.call(reply_lost, allowed, self.lab.ledger.reserve, id, amount, (BUDGET,), price_usd_h=1.0,
                     epoch=self.lab.epoch):
            known.reservations += 1
            known.reservation = f"{id}.{known.reservations}"
            self.open_money[known.reservation] = (amount, id)

    @rule(which=INDEX, reply_lost=LOST_REPLY)
    def claim(self, which: int, reply_lost: bool) -> None:
        id, known = self.pick(which)
        if known and self.call(reply_lost, known.state == "queued" and known.reservation is not None,
                               self.lab.ledger.claim, id, worker="w", device_class="cpu2"):
            known.state = "running"

    @rule(which=INDEX, amount=AMOUNT)
    def start(self, which: int, amount: int) -> None:
        """The whole way at once, so that what comes after is reached often."""
        self.approve(which, False)
        self.reserve(which, amount, False)
        self.claim(which, False)

    @rule(which=INDEX, behind=st.integers(0, 1), outcome=st.sampled_from([SUCCESS, CRASH, HARNESS_FAULT]),
          reply_lost=LOST_REPLY)
    def finish(self, which: int, behind: int, outcome: Outcome, reply_lost: bool) -> None:
        id, known = self.pick(which)
        if known and self.call(reply_lost, known.state == "running" and not behind, self.lab.ledger.finish, id,
                               len(known.endings) + 1 - behind, outcome, used_s=1.0, phases={}):
            known.endings.append("finished")
            known.state, known.outcome, known.reservation = "finished", outcome, None

    @rule(which=INDEX, behind=st.integers(0, 1), ending=st.sampled_from(["lost", "interrupted"]),
          reply_lost=LOST_REPLY)
    def release(self, which: int, behind: int, ending: Any, reply_lost: bool) -> None:
        id, known = self.pick(which)
        if known and self.call(reply_lost, known.state == "running" and not behind, self.lab.ledger.release, id,
                               len(known.endings) + 1 - behind, ending, used_s=1.0, epoch=self.lab.epoch):
            known.endings.append(ending)
            known.reservation = None
            known.state = "finished" if known.endings.count("lost") == 3 else "queued"

    @rule(which=INDEX, reply_lost=LOST_REPLY)
    def cancel(self, which: int, reply_lost: bool) -> None:
        id, known = self.pick(which)
        if known and self.call(reply_lost, known.state not in ("finished", "cancelled"), self.lab.ledger.cancel, id,
                               "not wanted"):
            if known.state == "running":
                known.endings.append("released")
                known.reservation = None
            known.state = "cancelled"

    @rule(which=INDEX, nth=st.integers(1, 3), used=AMOUNT, reply_lost=LOST_REPLY)
    def settle(self, which: int, nth: int, used: int, reply_lost: bool) -> None:
        id, known = self.pick(which)
        if known is None or nth > known.reservations:
            return
        key, used = f"{id}.{nth}", max(used, 1000)  # never less than an attempt here can have cost
        runs_on_it = known.state == "running" and known.reservation == key
        if self.call(reply_lost, key in self.open_money and not runs_on_it, self.lab.accounts.settle, key, used,
                     epoch=self.lab.epoch):
            self.spent += min(used, self.open_money.pop(key)[0])
            known.reservation = None if known.reservation == key else known.reservation

    # ------------------------------------------------------------------ what must agree

    @invariant()
    def states_agree(self) -> None:
        held = {found.id: found for found in self.lab.ledger.all_experiments()}
        assert {id: (e.state, e.reservation, [a.ending for a in e.attempts if a.ending]) for id, e in held.items()} == {
            id: (known.state, known.reservation, known.endings) for id, known in self.known.items()}

    @invariant()
    def money_agrees(self) -> None:
        budget = self.lab.accounts.balance(BUDGET)
        assert budget is not None
        reserved = sum(amount for amount, _ in self.open_money.values())
        assert (budget.spent, budget.reserved, budget.free) == (self.spent, reserved, CAP - self.spent - reserved)
        entries = list(self.lab.accounts.entries())
        assert sum(entry.amount for entry in entries) == self.spent
        assert sum(e.cost_microusd for e in self.lab.ledger.all_experiments()) == self.spent
        assert {r.key for r in self.lab.accounts.open_reservations()} == set(self.open_money)

    @invariant()
    def every_accepted_call_is_one_change(self) -> None:
        assert self.lab.ledger.last_change() == self.changes

    def teardown(self) -> None:
        changes = self.lab.ledger.changes(0, 10_000)
        assert [change.n for change in changes] == list(range(1, self.changes + 1))
        for (kind, id), image in replay(changes).items():
            assert self.line.get(kind, id) == image.record()

    # ------------------------------------------------------------------ how a call is made

    def pick(self, which: int) -> tuple[str, Known | None]:
        id = f"e{which % max(len(self.known), 1)}"
        return id, self.known.get(id)

    def call(self, reply_lost: bool, allowed: bool, what: Callable[..., Any], *given: Any, **named: Any) -> bool:
        """Whether it was accepted, which must be as the model says. A call whose reply is lost is made again."""
        named["op_id"] = self.lab.op()
        self.line.lose_next = reply_lost and allowed
        try:
            try:
                what(*given, **named)
            except Unavailable:
                what(*given, **named)
        except Refused:
            assert not allowed
            return False
        assert allowed
        self.changes += 1
        return True


TestLedgerBesideItsModel = LedgerBesideItsModel.TestCase
TestLedgerBesideItsModel.settings = settings(max_examples=80, stateful_step_count=50)
