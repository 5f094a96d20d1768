"""The daemon's memory of the ledger: folded from changes it is what a fresh look gives; it counts our own faults."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab.experiment import Outcome
from lab.local.table import SqliteTable
from lab.money import RECENT
from lab.table import Record
from orchestrator.view import View
from support.curve.spec import GOALS, TRACK
from support.laboratory import BUDGET, CRASH, HARNESS_FAULT, SUCCESS, USD, Laboratory


def looked(lab: Laboratory) -> View:
    view = View(TRACK, GOALS)
    view.load(lab.ledger)
    return view


def followed(lab: Laboratory, since: int = 0, view: View | None = None) -> View:
    view = view or View(TRACK, GOALS)
    for change in lab.ledger.changes(since):
        view.apply(change)
    return view


def facts(view: View) -> dict[str, object]:
    return {name: value for name, value in vars(view).items()
            if name not in ("_readers", "faults", "budgets")}


def a_lab_with(*outcomes: Outcome) -> Laboratory:
    lab = Laboratory(SqliteTable(":memory:"))
    for outcome in outcomes:
        lab.end(outcome=outcome)
    return lab


def test_following_the_changes_gives_what_a_fresh_look_gives() -> None:
    lab = a_lab_with(SUCCESS, CRASH, HARNESS_FAULT)
    lab.ledger.cancel(lab.queue(), "not now", op_id=lab.op())
    lab.start()
    assert facts(followed(lab)) == facts(looked(lab))
    assert sorted(followed(lab).live) == sorted(looked(lab).live)


def test_an_older_image_applied_again_does_no_harm() -> None:
    lab = a_lab_with(SUCCESS, CRASH)
    view = looked(lab)
    before = facts(view)
    assert facts(followed(lab, view=view)) == before


class LaggingIndex(SqliteTable):
    """As on DynamoDB: what took its tag a moment ago is not listed by it yet."""

    def page(self, kind: str, *, tag: str | None = None, after: str = "", limit: int = 100,
             newest_first: bool = False) -> Sequence[Record]:
        return [] if tag is not None else super().page(kind, after=after, limit=limit, newest_first=newest_first)


def test_a_look_sees_money_that_was_reserved_a_moment_ago() -> None:
    """And what an attempt has used of it; or it would stay reserved for ever."""
    lab = Laboratory(LaggingIndex(":memory:"))
    lab.end()
    id, fence = lab.start()
    lab.finish(id, fence)
    waiting = lab.ready()
    view = looked(lab)
    assert view.unsettled.keys() == {f"{id}.1", f"{waiting}.1"}
    assert view.used.keys() == {f"{id}.1"}


def test_a_look_knows_what_attempts_cost_however_many_hours_of_the_house_were_settled_since() -> None:
    """Or whatever runs would be expected to cost all that is reserved, and the levels would stop a healthy lab."""
    lab = a_lab_with(SUCCESS)
    for hour in range(RECENT + 1):
        lab.accounts.reserve_overhead(f"overhead.1.{hour}", USD, (BUDGET,), price_usd_h=0.02, epoch=lab.epoch,
                                      op_id=lab.op())
        lab.settle(f"overhead.1.{hour}", USD // 10)
    assert looked(lab).recent_costs == [USD // 2]


def test_the_last_attempts_are_the_same_for_whoever_followed_and_whoever_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """However late the first of them ended, and however many cost nothing: or the daemon and the budget guard would go
    by two levels."""
    monkeypatch.setattr("orchestrator.view.RECENT", 2)
    lab = Laboratory(SqliteTable(":memory:"))
    begun = [lab.start() for _ in range(3)]
    waiting = [lab.ready() for _ in range(5)]
    for quarters, (id, fence) in reversed(list(enumerate(begun, 1))):
        lab.finish(id, fence)
        lab.settle(f"{id}.{fence}", quarters * USD // 4)
    for id in waiting:
        lab.ledger.cancel(id, "not wanted", op_id=lab.op())
        lab.settle(f"{id}.1", 0)
    assert followed(lab).recent_costs == looked(lab).recent_costs == [USD // 2, USD * 3 // 4]
    assert [entry.amount for entry in lab.accounts.latest_attempts(2)] == [USD * 3 // 4, USD // 2]


def test_our_own_faults_are_counted_until_something_ends_without_one() -> None:
    lab = a_lab_with(HARNESS_FAULT, HARNESS_FAULT)
    assert followed(lab).faults == [HARNESS_FAULT.detail] * 2
    lab.end(outcome=CRASH)
    assert followed(lab).faults == []


def test_a_fresh_look_forgets_the_faults_of_earlier_runs() -> None:
    assert looked(a_lab_with(HARNESS_FAULT, HARNESS_FAULT)).faults == []
