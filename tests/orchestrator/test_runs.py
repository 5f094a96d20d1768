"""A run and its limits: a daemon that takes over from one that died goes on with its run; another begins its own."""

from __future__ import annotations

from lab.control import Run
from lab.local.table import SqliteTable
from support.laboratory import Laboratory


def begin(lab: Laboratory, epoch: int, explored: int) -> Run:
    return lab.office.begin_run(explored, epoch=epoch, op_id=lab.op())


def take_over(lab: Laboratory, holder: str) -> int:
    """With proof that the last holder is gone."""
    lease = lab.office.lease()
    assert lease is not None
    proof = (lease.epoch, lab.office.daemon_beat(lease.epoch))
    return lab.office.take_lease(holder, host="here", pid=2, observed=proof, op_id=lab.op())


def test_a_daemon_that_takes_over_goes_on_with_the_run_and_its_budget() -> None:
    lab = Laboratory(SqliteTable(":memory:"))
    first = begin(lab, lab.epoch, explored=3)
    second = begin(lab, take_over(lab, "second"), explored=7)
    assert second == first == Run(key=lab.epoch, explored=3)


def test_a_run_that_was_left_is_over_and_the_next_daemon_begins_another() -> None:
    lab = Laboratory(SqliteTable(":memory:"))
    begin(lab, lab.epoch, explored=3)
    lab.office.leave_lease(lab.epoch, op_id=lab.op())
    epoch = take_over(lab, "second")
    assert begin(lab, epoch, explored=7) == Run(key=epoch, explored=7)


def test_one_that_died_before_it_began_its_run_leaves_it_to_the_next() -> None:
    lab = Laboratory(SqliteTable(":memory:"))
    assert begin(lab, take_over(lab, "second"), explored=0) == Run(key=lab.epoch, explored=0)
