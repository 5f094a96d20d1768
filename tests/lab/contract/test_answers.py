"""An op_id makes a call safe to repeat: after a lost reply it changes nothing more and gives the same answer.

The table under the ledger is behind a bad line (`support.tables.LosesReplies`): it commits and then loses the reply,
or commits long after the caller gave up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.control import Guarded, Idea, Report
from lab.errors import Refused, Unavailable, WrongState
from lab.experiment import Checkpoint
from support.laboratory import BUDGET, SUCCESS, USD, Laboratory, experiment
from support.tables import LosesReplies

Call = Callable[[str], Any]  # one call of the ledger under this op_id


def propose(lab: Laboratory) -> Call:
    return lambda op: lab.ledger.propose(experiment("new"), epoch=lab.epoch, op_id=op)


def approve(lab: Laboratory) -> Call:
    id = lab.propose()
    return lambda op: lab.ledger.approve(id, epoch=lab.epoch, op_id=op)


def reserve(lab: Laboratory) -> Call:
    id = lab.queue()
    return lambda op: lab.ledger.reserve(id, USD, (BUDGET,), price_usd_h=1.0, epoch=lab.epoch, op_id=op)


def claim(lab: Laboratory) -> Call:
    id = lab.ready()
    return lambda op: lab.ledger.claim(id, worker="w1", device_class="cpu2", op_id=op)


def checkpointed(lab: Laboratory) -> Call:
    id, fence = lab.start()
    left = Checkpoint(outputs={"a": "b"}, done=True)
    return lambda op: lab.ledger.checkpointed(id, fence, "encode", left, op_id=op)


def finish(lab: Laboratory) -> Call:
    id, fence = lab.start()
    return lambda op: lab.ledger.finish(id, fence, SUCCESS, used_s=1.0, phases={}, op_id=op)


def release(lab: Laboratory) -> Call:
    id, fence = lab.start()
    return lambda op: lab.ledger.release(id, fence, "lost", used_s=1.0, epoch=lab.epoch, op_id=op)


def bury(lab: Laboratory) -> Call:
    id = lab.ready()
    return lambda op: lab.ledger.bury(id, "received 20 times", claims=0, op_id=op)


def cancel(lab: Laboratory) -> Call:
    id, _ = lab.start()
    return lambda op: lab.ledger.cancel(id, "not wanted", op_id=op)


def settle(lab: Laboratory) -> Call:
    key = lab.reserve(lab.queue())
    return lambda op: lab.accounts.settle(key, USD // 2, epoch=lab.epoch, op_id=op)


def reserve_overhead(lab: Laboratory) -> Call:
    return lambda op: lab.accounts.reserve_overhead("hour", USD, (BUDGET,), price_usd_h=0.1, epoch=lab.epoch, op_id=op)


def set_cap(lab: Laboratory) -> Call:
    return lambda op: lab.accounts.set_cap("run", USD, op_id=op)


def take_lease(lab: Laboratory) -> Call:
    lab.office.leave_lease(lab.epoch, op_id=lab.op())
    return lambda op: lab.office.take_lease("second", host="there", pid=2, observed=None, op_id=op)


def leave_lease(lab: Laboratory) -> Call:
    return lambda op: lab.office.leave_lease(lab.epoch, op_id=op)


def push_settings(lab: Laboratory) -> Call:
    return lambda op: lab.office.push_settings("[budget]\nrun_usd = 5\n", op_id=op)


def set_control(lab: Laboratory) -> Call:
    return lambda op: lab.office.set_control(paused=True, op_id=op)


def add_idea(lab: Laboratory) -> Call:
    return lambda op: lab.office.add_idea(Idea(key="i1", family="line", params={}), op_id=op)


def take_idea(lab: Laboratory) -> Call:
    lab.office.add_idea(Idea(key="i1", family="line", params={}), op_id=lab.op())
    return lambda op: lab.office.take_idea("i1", epoch=lab.epoch, op_id=op)


def post_report(lab: Laboratory) -> Call:
    return lambda op: lab.office.post_report(Report(key="2026-11-23T05", subject="s", text="t"), op_id=op)


def delivered(lab: Laboratory) -> Call:
    lab.office.post_report(Report(key="2026-11-23T05", subject="s", text="t"), op_id=lab.op())
    return lambda op: lab.office.delivered("2026-11-23T05", op_id=op)


def guard(lab: Laboratory) -> Call:
    told = Report(key="guard-000001", subject="s", text="t")
    found = Guarded(n=1, level="critical", closed=True)
    return lambda op: lab.office.guard(found, "no money", told, op_id=op)


CALLS = [propose, approve, reserve, claim, checkpointed, finish, release, bury, cancel, settle, reserve_overhead,
         set_cap, take_lease, leave_lease, push_settings, set_control, add_idea, take_idea, post_report, delivered,
         guard]
# Without a session the table cannot lock out a commit that lands late: on a local database it cannot happen.
REFUSED_BY_ITSELF = [propose, approve, reserve, claim, finish, release, bury, cancel, settle, reserve_overhead,
                     take_lease, leave_lease, post_report, guard]


def state(lab: Laboratory) -> dict[tuple[str, str], bytes]:
    """Everything that the ledger holds, but for the log of changes."""
    kinds = ("experiment", "fingerprint", "budget", "reservation", "entry", "daemon", "control", "settings", "idea",
             "report", "guard", "op")
    return {(kind, record.id): record.body for kind in kinds for record in lab.table.page(kind)}


@pytest.mark.parametrize("arrange", CALLS, ids=lambda call: call.__name__)
def test_a_call_whose_reply_was_lost_is_answered_again_and_done_once(
        bad_line: LosesReplies, lab_on_bad_line: Laboratory, arrange: Callable[[Laboratory], Call]) -> None:
    lab = lab_on_bad_line
    call, before = arrange(lab), lab.ledger.last_change()
    bad_line.lose_next = True
    with pytest.raises(Unavailable):
        call("mine")
    after = state(lab)
    assert lab.ledger.last_change() == before + 1
    first, second = call("mine"), call("mine")
    assert first == second
    assert (lab.ledger.last_change(), state(lab)) == (before + 1, after)
    assert lab.ledger.changes(before)[0].op_id == "mine"


@pytest.mark.parametrize("arrange", REFUSED_BY_ITSELF, ids=lambda call: call.__name__)
@pytest.mark.parametrize("reads", [0, 1, 2])
def test_a_call_that_lands_while_it_is_repeated_is_not_refused_by_itself(
        bad_line: LosesReplies, lab_on_bad_line: Laboratory, arrange: Callable[[Laboratory], Call], reads: int) -> None:
    lab = lab_on_bad_line
    call, before = arrange(lab), lab.ledger.last_change()
    bad_line.delay_next = reads
    with pytest.raises(Unavailable):
        call("mine")
    answer = call("mine")
    assert answer == call("mine")
    assert lab.ledger.last_change() == before + 1


@pytest.mark.parametrize("arrange", [approve, claim, finish, cancel, settle, post_report],
                         ids=lambda call: call.__name__)
def test_the_same_call_under_another_op_id_is_a_second_try_and_refused(
        lab: Laboratory, arrange: Callable[[Laboratory], Call]) -> None:
    call = arrange(lab)
    call("mine")
    before = state(lab)
    with pytest.raises(Refused):
        call("another")
    assert state(lab) == before


def test_a_refused_call_may_succeed_later_under_the_same_op_id(lab: Laboratory) -> None:
    """A refusal is no answer: nothing was written, so nothing is remembered."""
    id, fence = lab.start()
    before = state(lab)
    with pytest.raises(WrongState):
        lab.ledger.claim(id, worker="w2", device_class="cpu2", op_id="mine")
    assert state(lab) == before
    lab.release(id, fence)
    lab.reserve(id)
    assert lab.ledger.claim(id, worker="w2", device_class="cpu2", op_id="mine") == 2
