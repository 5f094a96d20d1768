"""An experiment's way through its states: who may move it, under which fence and epoch, and how it may end."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from lab.control import Beat
from lab.errors import NotFound, Refused, Stale, WrongState
from lab.experiment import Checkpoint, Outcome, Scores, Terms, TrainingLimit
from support.laboratory import CRASH, SUCCESS, Laboratory, experiment, spec


def test_an_experiment_goes_from_proposed_to_finished(lab: Laboratory) -> None:
    states = []
    id = lab.propose()
    states.append(lab.ledger.experiment(id).state)
    lab.ledger.approve(id, epoch=lab.epoch, op_id=lab.op())
    states.append(lab.ledger.experiment(id).state)
    lab.reserve(id)
    fence = lab.claim(id)
    states.append(lab.ledger.experiment(id).state)
    assert lab.finish(id, fence) == "success"
    done = lab.ledger.experiment(id)
    assert [*states, done.state] == ["proposed", "queued", "running", "finished"]
    assert (done.outcome, done.attempts[0].ending, done.attempts[0].used_s) == (SUCCESS, "finished", 2.0)


def test_only_one_of_two_claims_wins(lab: Laboratory) -> None:
    id = lab.ready()
    lab.claim(id, "w1")
    with pytest.raises(WrongState):
        lab.claim(id, "w2")
    assert [attempt.worker for attempt in lab.ledger.experiment(id).attempts] == ["w1"]


def test_what_is_not_approved_cannot_be_claimed(lab: Laboratory) -> None:
    id = lab.propose()
    with pytest.raises(WrongState):
        lab.claim(id)


def test_approving_what_runs_takes_it_from_no_one(lab: Laboratory) -> None:
    id, fence = lab.start()
    with pytest.raises(WrongState):
        lab.ledger.approve(id, epoch=lab.epoch, op_id=lab.op())
    assert lab.finish(id, fence) == "success"


def test_what_has_no_money_cannot_be_claimed(lab: Laboratory) -> None:
    id = lab.queue()
    with pytest.raises(Refused, match="no reservation"):
        lab.claim(id)


def test_a_fence_grows_with_every_claim(lab: Laboratory) -> None:
    id, first = lab.start()
    lab.release(id, first)
    lab.reserve(id)
    assert (first, lab.claim(id)) == (1, 2)


def test_a_stale_fence_is_refused_everywhere(lab: Laboratory) -> None:
    id, old = lab.start()
    lab.release(id, old)
    lab.reserve(id)
    new = lab.claim(id, "w2")
    before = lab.ledger.last_change()
    with pytest.raises(Stale):
        lab.finish(id, old)
    with pytest.raises(Stale):
        lab.release(id, old)
    with pytest.raises(Stale):
        lab.ledger.beat(id, Beat(fence=old, n=5))
    with pytest.raises(Stale):
        lab.ledger.checkpointed(id, old, "encode", Checkpoint(outputs={}, done=True), op_id=lab.op())
    assert lab.ledger.last_change() == before
    assert lab.finish(id, new) == "success"


def test_a_released_experiment_takes_no_more_writes_of_its_worker(lab: Laboratory) -> None:
    id, fence = lab.start()
    lab.release(id, fence)
    with pytest.raises(Stale):
        lab.finish(id, fence)


@pytest.mark.parametrize("call", ["propose", "approve", "reserve", "lost"])
def test_a_stale_epoch_is_refused_everywhere(lab: Laboratory, call: str) -> None:
    proposed, queued, (running, fence) = lab.propose(), lab.queue(), lab.start()
    old, before = lab.epoch, lab.ledger.last_change()
    lab.epoch = old + 1
    calls = {"propose": lambda: lab.propose(), "reserve": lambda: lab.reserve(queued),
             "approve": lambda: lab.ledger.approve(proposed, epoch=lab.epoch, op_id=lab.op()),
             "lost": lambda: lab.release(running, fence, "lost")}
    with pytest.raises(Stale, match="another daemon"):
        calls[call]()
    assert lab.ledger.last_change() == before


def test_only_the_daemon_ends_a_lease_for_silence(lab: Laboratory) -> None:
    id, fence = lab.start()
    with pytest.raises(Stale):
        lab.ledger.release(id, fence, "lost", used_s=1.0, op_id=lab.op())
    assert lab.release(id, fence, "lost") == "queued"


def test_three_silent_ends_are_poison(lab: Laboratory) -> None:
    id = lab.queue()
    states = []
    for _ in range(3):
        lab.reserve(id)
        states.append(lab.release(id, lab.claim(id), "lost"))
    assert states == ["queued", "queued", "finished"]
    outcome = lab.ledger.experiment(id).outcome
    assert outcome is not None
    assert (outcome.verdict, outcome.reason, outcome.scores) == ("failed", "poison", None)


def test_an_attempt_that_leaves_something_new_is_no_step_towards_poison(lab: Laboratory) -> None:
    """A training of days outlives many machines; one that goes on from the same checkpoint for ever does not."""
    id, states = lab.queue(), []
    for nth in (1, 2, 3, 4, 5, 5, 5, 5):
        lab.reserve(id)
        fence = lab.claim(id)
        kept = Checkpoint(outputs={"weights": f"{nth:064x}"}, done=False)
        lab.ledger.checkpointed(id, fence, "train", kept, op_id=lab.op())
        states.append(lab.release(id, fence, "lost"))
    assert states == [*["queued"] * 7, "finished"]
    assert [attempt.further for attempt in lab.ledger.experiment(id).attempts] == [*[True] * 5, *[False] * 3]


def test_one_that_takes_its_worker_down_after_each_checkpoint_is_poison_in_the_end(lab: Laboratory) -> None:
    id, states = lab.queue(), []
    for nth in range(1, 5):
        lab.reserve(id, terms=Terms(lost_attempts=3))
        fence = lab.claim(id)
        kept = Checkpoint(outputs={"weights": f"{nth:064x}"}, done=False)
        lab.ledger.checkpointed(id, fence, "train", kept, op_id=lab.op())
        states.append(lab.release(id, fence, "lost"))
    assert states == [*["queued"] * 3, "finished"]
    outcome = lab.ledger.experiment(id).outcome
    assert outcome is not None
    assert (outcome.reason, outcome.detail) == (
        "poison", "its workers fell silent 4 times in all, and 3 are allowed (limits.lost_attempts)")


def test_being_interrupted_is_never_blamed(lab: Laboratory) -> None:
    id = lab.queue()
    for ending in ["interrupted", "lost", "interrupted", "lost", "released", "interrupted"]:
        lab.reserve(id)
        assert lab.release(id, lab.claim(id), ending) == "queued"
    assert lab.ledger.experiment(id).outcome is None


def test_what_nobody_can_even_claim_is_given_up_as_poison_once(lab: Laboratory) -> None:
    """By whoever finds its dead message, without the daemon; its money is free again as that of what was cancelled."""
    id, op = lab.ready(), lab.op()
    for _ in range(2):
        assert lab.ledger.bury(id, "received 20 times", claims=0, op_id=op) == "finished"
    found = lab.ledger.experiment(id)
    assert found.outcome == Outcome(verdict="failed", reason="poison", detail="received 20 times")
    assert (found.attempts, lab.settle(f"{id}.1", 0)) == ((), 0)
    with pytest.raises(WrongState):
        lab.claim(id)


def test_a_claim_proves_a_dead_message_wrong(lab: Laboratory) -> None:
    id, fence = lab.start()
    with pytest.raises(WrongState):
        lab.ledger.bury(id, "received 20 times", claims=0, op_id=lab.op())
    lab.release(id, fence)
    with pytest.raises(Stale, match="claimed since"):
        lab.ledger.bury(id, "received 20 times", claims=0, op_id=lab.op())
    assert lab.ledger.experiment(id).state == "queued"
    for waits in (lab.propose(), lab.end()):
        with pytest.raises(WrongState):
            lab.ledger.bury(waits, "received 20 times", claims=0, op_id=lab.op())


def test_finished_is_the_end(lab: Laboratory) -> None:
    id = lab.end()
    for move in (lambda: lab.ledger.approve(id, epoch=lab.epoch, op_id=lab.op()), lambda: lab.reserve(id),
                 lambda: lab.claim(id), lambda: lab.ledger.cancel(id, "too late", op_id=lab.op())):
        with pytest.raises(WrongState):
            move()


def test_a_second_result_is_refused(lab: Laboratory) -> None:
    id, fence = lab.start()
    lab.finish(id, fence, CRASH)
    with pytest.raises(Refused):
        lab.finish(id, fence, SUCCESS)
    assert lab.ledger.experiment(id).outcome == CRASH


@pytest.mark.parametrize("stage", ["propose", "queue", "ready"])
def test_what_was_cancelled_never_starts(lab: Laboratory, stage: str) -> None:
    id = getattr(lab, stage)()
    lab.ledger.cancel(id, "not wanted", op_id=lab.op())
    for move in (lambda: lab.ledger.approve(id, epoch=lab.epoch, op_id=lab.op()), lambda: lab.reserve(id),
                 lambda: lab.claim(id), lambda: lab.ledger.cancel(id, "again", op_id=lab.op())):
        with pytest.raises(WrongState):
            move()
    assert lab.ledger.experiment(id).state == "cancelled"


def test_the_daemon_calls_off_only_what_nobody_runs(lab: Laboratory) -> None:
    waiting, (running, fence) = lab.ready(), lab.start()
    lab.ledger.cancel(waiting, "its candidate is refuted", epoch=lab.epoch, op_id=lab.op())
    with pytest.raises(WrongState, match="goes on to its end"):
        lab.ledger.cancel(running, "its candidate is refuted", epoch=lab.epoch, op_id=lab.op())
    assert lab.ledger.experiment(waiting).state == "cancelled"
    lab.finish(running, fence)


def test_a_worker_learns_at_its_beat_that_its_experiment_was_cancelled(lab: Laboratory) -> None:
    id, fence = lab.start()
    lab.ledger.cancel(id, "not wanted", used_s=3.0, op_id=lab.op())
    with pytest.raises(Stale):
        lab.ledger.beat(id, Beat(fence=fence, n=1))
    with pytest.raises(Stale):
        lab.finish(id, fence)
    attempt = lab.ledger.experiment(id).attempts[0]
    assert (attempt.ending, attempt.used_s) == ("released", 3.0)


def test_a_beat_is_set_and_not_added(lab: Laboratory) -> None:
    id, fence = lab.start()
    before = lab.ledger.last_change()
    for n in (1, 2, 2):
        lab.ledger.beat(id, Beat(fence=fence, n=n, used_s=n * 1.5, phase="encode", progress={"frame": n}))
    assert lab.ledger.beat_of(id, fence) == Beat(fence=1, n=2, used_s=3.0, phase="encode", progress={"frame": 2})
    assert lab.ledger.beat_of(id, 2) is None
    assert lab.ledger.last_change() == before, "beats are no changes"


ABSURD = (math.nan, math.inf, -1.0, 1e308)


@pytest.mark.parametrize("told", [
    *({"used_s": one} for one in ABSURD), *({"requests": {"queue": one}} for one in ABSURD)])
def test_a_beat_with_a_number_that_nobody_can_have_counted_is_refused(lab: Laboratory, told: dict[str, Any]) -> None:
    id, fence = lab.start()
    lab.ledger.beat(id, Beat(fence=fence, n=1))
    with pytest.raises(Refused, match=rf"{id}\.{fence}"):
        lab.ledger.beat(id, Beat(fence=fence, n=2, **told))
    assert lab.ledger.beat_of(id, fence) == Beat(fence=fence, n=1)


@pytest.mark.parametrize("body", [
    b'{"fence":1,"n":2,"used_s":null}', b'{"fence":1,"n":2,"used_s":1e308}', b'{"fence":1,"n":2,"at":1e300}',
    b'{"fence":1,"n":2,"requests":{"bill":1e308}}', b'{"fence":1,"n":2,"requests":{"bill":-1}}', b"\xff",
    b'{"fence":1,"n":2,"progress":{"a":' + b"[" * 50_000])
def test_an_unreadable_beat_counts_as_none_and_hides_no_other(
        lab: Laboratory, body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever may write to the table has set it past the ledger."""
    id, fence = lab.start()
    other, others = lab.start(experiment("e0002"))
    lab.ledger.beat(other, Beat(fence=others, n=3))
    for name in (f"{id}.{fence}", f"daemon.{lab.epoch}"):
        lab.ledger.table.set("beat", name, body)
    for _ in range(2):
        assert lab.ledger.beat_of(id, fence) is None
        assert lab.ledger.beats({id: fence, other: others}) == {other: Beat(fence=others, n=3)}
        assert lab.ledger.office.daemon_sign(lab.epoch) is None
    assert capsys.readouterr().out.count("an unreadable heartbeat counts as none") == 2, "once of each"
    lab.ledger.beat(id, Beat(fence=fence, n=4))
    assert lab.ledger.beat_of(id, fence) == Beat(fence=fence, n=4)


@pytest.mark.parametrize("used_s", [math.nan, math.inf, 1e308])
def test_an_attempt_that_used_more_than_anyone_can_have_counted_does_not_end_so(lab: Laboratory, used_s: float) -> None:
    """A record with NaN in it could be read by nobody."""
    id, fence = lab.start()
    with pytest.raises(Refused):
        lab.ledger.finish(id, fence, SUCCESS, used_s=used_s, phases={}, op_id=lab.op())
    with pytest.raises(Refused):
        lab.ledger.finish(id, fence, SUCCESS, used_s=1.0, phases={"fit": used_s}, op_id=lab.op())
    with pytest.raises(Refused):
        lab.ledger.release(id, fence, "interrupted", used_s=used_s, op_id=lab.op())
    assert lab.ledger.experiment(id).state == "running"


def test_checkpoints_outlive_the_attempt_that_made_them(lab: Laboratory) -> None:
    id, fence = lab.start()
    encoded = Checkpoint(outputs={"drive.aec": "a" * 64}, done=True, seconds=1.5)
    lab.ledger.checkpointed(id, fence, "encode", encoded, op_id=lab.op())
    lab.release(id, fence, "lost")
    lab.reserve(id)
    lab.ledger.checkpointed(id, lab.claim(id), "decode", Checkpoint(outputs={}, done=False), op_id=lab.op())
    kept = lab.ledger.experiment(id).checkpoints
    assert kept == {"encode": encoded, "decode": Checkpoint(outputs={}, done=False)}


@pytest.mark.parametrize("outcome", [
    Outcome(verdict="failed"),
    Outcome(verdict="success", reason="crash", scores=Scores(mean={}, clips={})),
    Outcome(verdict="success"),
    Outcome(verdict="failed", reason="crash", scores=Scores(mean={}, clips={})),
    Outcome(verdict="success", scores=Scores(mean={"psnr_y_db": float("nan")}, clips={})),
    Outcome(verdict="success", scores=Scores(mean={}, clips={"drive": {"psnr_y_db": float("inf")}})),
])
def test_a_result_that_contradicts_itself_is_refused(lab: Laboratory, outcome: Outcome) -> None:
    id, fence = lab.start()
    with pytest.raises(Refused):
        lab.finish(id, fence, outcome)
    assert lab.ledger.experiment(id).state == "running"


def test_an_unknown_experiment_says_how_to_find_one(lab: Laboratory) -> None:
    with pytest.raises(NotFound, match="aether experiments list"):
        lab.ledger.experiment("e9999")
    with pytest.raises(NotFound):
        lab.claim("e9999")


def test_what_trains_by_the_clock_is_claimed_on_its_own_device_class_alone(lab: Laboratory) -> None:
    limit = TrainingLimit(seconds=60.0, device_class="cpu:other:2")
    id = lab.ready(experiment("e0001", msgspec.structs.replace(spec(x=1), limit=limit)))
    with pytest.raises(Refused, match="cpu:other:2"):
        lab.claim(id)
    assert lab.ledger.claim(id, worker="w2", device_class="cpu:other:2", op_id=lab.op()) == 1
