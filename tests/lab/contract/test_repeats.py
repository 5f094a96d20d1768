"""A specification runs once, unless its run was cancelled or spoilt by us; lineage misses no parent."""

from __future__ import annotations

import pytest

from lab.errors import Duplicate, Refused
from support.laboratory import CRASH, HARNESS_FAULT, Laboratory, experiment, spec


def test_a_fingerprint_that_is_there_already_is_refused_and_named(lab: Laboratory) -> None:
    lab.propose(experiment("e1", spec(crf=30)))
    with pytest.raises(Duplicate) as refusal:
        lab.propose(experiment("e2", spec(crf=30)))
    assert refusal.value.original == "e1"
    assert [e.id for e in lab.ledger.all_experiments()] == ["e1"]


@pytest.mark.parametrize("outcome", [CRASH, None])
def test_a_run_that_counts_is_not_repeated(lab: Laboratory, outcome: object) -> None:
    lab.end(experiment("e1", spec(crf=30)), **({"outcome": CRASH} if outcome else {}))
    with pytest.raises(Duplicate):
        lab.propose(experiment("e2", spec(crf=30)))


def test_what_our_own_fault_spoilt_is_run_again_under_another_name(lab: Laboratory) -> None:
    lab.end(experiment("e1", spec(crf=30)), outcome=HARNESS_FAULT)
    lab.propose(experiment("e2", spec(crf=30)))
    assert lab.ledger.experiment("e2").repeats == "e1"


def test_what_was_cancelled_is_run_again_under_another_name(lab: Laboratory) -> None:
    lab.propose(experiment("e1", spec(crf=30)))
    lab.ledger.cancel("e1", "not now", op_id=lab.op())
    lab.propose(experiment("e2", spec(crf=30)))
    assert lab.ledger.experiment("e2").repeats == "e1"
    with pytest.raises(Duplicate) as refusal:
        lab.propose(experiment("e3", spec(crf=30)))
    assert refusal.value.original == "e2", "the repetition is now the run that counts"


def test_a_first_run_repeats_nothing(lab: Laboratory) -> None:
    lab.propose(experiment("e1"))
    assert lab.ledger.experiment("e1").repeats is None


def test_an_id_is_used_once(lab: Laboratory) -> None:
    lab.propose(experiment("e1"))
    with pytest.raises(Refused, match="exists already"):
        lab.propose(experiment("e1", spec(crf=31)))


@pytest.mark.parametrize("parents", [("e9",), ("e1", "e9"), ("e2",)])
def test_a_missing_parent_and_a_loop_are_refused(lab: Laboratory, parents: tuple[str, ...]) -> None:
    lab.propose(experiment("e1"))
    with pytest.raises(Refused, match="parent"):
        lab.propose(experiment("e2", parents=parents))
    assert [e.id for e in lab.ledger.all_experiments()] == ["e1"]


def test_parents_that_exist_are_kept(lab: Laboratory) -> None:
    lab.propose(experiment("e1"))
    lab.propose(experiment("e2", parents=("e1",)))
    assert lab.ledger.experiment("e2").parents == ("e1",)
