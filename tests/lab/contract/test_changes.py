"""The log of changes: ordered, without gaps, resumable, and enough to rebuild every record."""

from __future__ import annotations

import pytest

from lab.control import Beat, Change
from lab.errors import AetherError
from lab.local.journal import replay
from support.laboratory import HARNESS_FAULT, Laboratory, experiment, spec


def busy_day(lab: Laboratory) -> None:
    """A bit of everything, refusals included."""
    lab.end()
    lab.end(experiment("x1", spec(crf=1)), HARNESS_FAULT)
    lab.propose(experiment("x2", spec(crf=1), parents=("x1",)))
    lab.ledger.cancel("x2", "not wanted", op_id=lab.op())
    id, fence = lab.start()
    lab.ledger.beat(id, Beat(fence=fence, n=1))
    lab.release(id, fence, "lost")
    lab.office.set_control(paused=True, op_id=lab.op())
    lab.office.push_settings("seed = 1\n", op_id=lab.op())
    for refused in (lambda: lab.claim(id), lambda: lab.propose(experiment("x3", parents=("none",)))):
        with pytest.raises(AetherError):
            refused()


def everything(lab: Laboratory, limit: int) -> list[Change]:
    seen: list[Change] = []
    while page := lab.ledger.changes(seen[-1].n if seen else 0, limit):
        seen += page
    return seen


def test_changes_are_numbered_from_one_without_gaps(lab: Laboratory) -> None:
    busy_day(lab)
    assert [change.n for change in everything(lab, 100)] == list(range(1, lab.ledger.last_change() + 1))


@pytest.mark.parametrize("limit", [1, 7])
def test_reading_them_in_pieces_gives_the_same(lab: Laboratory, limit: int) -> None:
    busy_day(lab)
    assert everything(lab, limit) == everything(lab, 1000)


def test_those_after_a_number_are_given_and_none_after_the_last(lab: Laboratory) -> None:
    lab.end()
    last = lab.ledger.last_change()
    assert [change.n for change in lab.ledger.changes(last - 2)] == [last - 1, last]
    assert list(lab.ledger.changes(last)) == []
    lab.propose()
    assert [(change.n, change.action) for change in lab.ledger.changes(last)] == [(last + 1, "propose")]


def test_an_empty_ledger_has_none(lab: Laboratory) -> None:
    lab.table.delete("head", ["changes"])
    assert lab.ledger.last_change() == 0


def test_a_change_says_what_was_done_to_what_and_by_which_call(lab: Laboratory) -> None:
    id, fence = lab.start()
    lab.ledger.finish(id, fence, HARNESS_FAULT, used_s=1.0, phases={}, op_id="mine")
    change = lab.ledger.changes(lab.ledger.last_change() - 1)[0]
    assert (change.action, change.subject, change.op_id) == ("finish", id, "mine")
    assert [(image.kind, image.id) for image in change.records] == [("experiment", id), ("op", "mine")]


def test_replaying_the_changes_gives_every_record_as_it_stands(lab: Laboratory) -> None:
    busy_day(lab)
    rebuilt = replay(everything(lab, 100))
    assert {kind for kind, _ in rebuilt} >= {"experiment", "fingerprint", "budget", "reservation", "entry", "op"}
    for (kind, id), image in rebuilt.items():
        assert lab.table.get(kind, id) == image.record(), (kind, id)
    for kind in {kind for kind, _ in rebuilt}:
        assert {(kind, record.id) for record in lab.table.page(kind, limit=500)} == {
            name for name in rebuilt if name[0] == kind}
