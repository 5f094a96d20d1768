"""The worker's state machine, over a real ledger, queue and store; phases and time are the test's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpu_workers.main import LAST_STEPS_S
from gpu_workers.phase import PhaseRequest
from gpu_workers.worker import LISTEN_S
from lab.aws.requests import Requests
from lab.backend import Message
from lab.control import Beat
from lab.errors import NotFound, Stale, Unavailable
from lab.experiment import Terms
from support.bench import BEAT_S, GRACE_S, LEASE_S, Bench, FakeWorkspace, scores
from support.laboratory import experiment


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_experiment_runs_phase_by_phase_to_one_outcome(bench: Bench) -> None:
    id = bench.send()
    bench.run_phase("fit")
    bench.run_phase("score")
    assert bench.outcome(id).verdict == "success"
    ended = bench.lab.ledger.experiment(id)
    assert ended.attempts[0].phases == {"fit": 2.0, "score": 2.0}
    assert ended.checkpoints["fit"].outputs.keys() == {"model", "log.txt"}
    assert bench.queue.waiting() == 0
    assert bench.workspaces[0].cleaned


def test_time_in_which_others_had_the_machine_is_not_billed(bench: Bench) -> None:
    id = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    bench.clock.now, bench.runner.waited_s = bench.clock.now + 50.0, 40.0
    bench.worker.step()
    beat = bench.lab.ledger.beat_of(id, 1)
    assert beat is not None
    assert beat.used_s == 10.0
    bench.run_phase("fit")
    bench.step_until(lambda: "score" in bench.runner.started)
    bench.clock.now, bench.runner.waited_s = bench.clock.now + 7.0, 5.0
    bench.worker.interrupt("spot notice")
    bench.worker.step()
    assert bench.lab.ledger.experiment(id).attempts[0].used_s == 12.0


def test_a_goal_that_is_missed_makes_it_partial(bench: Bench) -> None:
    bench.left["score"] = {"scores.json": scores(1.5)}
    id = bench.send()
    bench.run_phase("fit")
    bench.run_phase("score")
    assert bench.outcome(id).verdict == "partial"


def test_a_candidate_that_crashes_fails_with_its_reason_and_its_log_is_kept(bench: Bench) -> None:
    id = bench.send()
    bench.run_phase("fit", reason="timeout", detail="still running after 600 s", log="last words")
    outcome = bench.outcome(id)
    assert (outcome.reason, outcome.detail) == ("timeout", "fit: still running after 600 s")
    assert outcome.scores is None
    assert bench.store.read(bench.lab.ledger.experiment(id).checkpoints["fit"].outputs["log.txt"]) == b"last words"


def test_a_crash_of_trusted_code_is_the_harness_s_fault(bench: Bench) -> None:
    id = bench.send()
    bench.run_phase("fit")
    bench.run_phase("score", reason="crash", detail="a bug of ours")
    assert bench.outcome(id).reason == "harness_fault"


def test_a_phase_that_leaves_no_declared_output_has_bad_output(bench: Bench) -> None:
    del bench.left["fit"]
    id = bench.send()
    bench.run_phase("fit")
    assert bench.outcome(id).reason == "bad_output"


@pytest.mark.parametrize("left", [b"not JSON", b'{"mean": "\xff"}', b"[]"], ids=["no JSON", "no text", "another shape"])
def test_scores_that_cannot_be_read_are_the_harness_s_fault(bench: Bench, left: bytes) -> None:
    bench.left["score"] = {"scores.json": left}
    id = bench.send()
    bench.run_phase("fit")
    bench.run_phase("score")
    assert (bench.outcome(id).reason, "is no set of scores" in bench.outcome(id).detail) == ("harness_fault", True)


def test_a_metric_that_is_no_number_never_reaches_the_ledger(bench: Bench) -> None:
    bench.left["score"] = {"scores.json": b'{"mean": {"loss": 1e999}, "clips": {}}'}
    id = bench.send()
    bench.run_phase("fit")
    bench.run_phase("score")
    assert bench.outcome(id).reason == "harness_fault"


def test_a_phase_that_ended_is_not_run_again_by_the_next_worker(bench: Bench) -> None:
    id = bench.send()
    bench.run_phase("fit")
    bench.step_until(lambda: "score" in bench.runner.started)
    bench.lab.release(id, 1, "lost")
    bench.lab.settle(f"{id}.1")
    bench.lab.reserve(id)
    bench.queue.send(id)
    bench.runner.started.clear()
    bench.worker = bench.another("w2", bench.backend)
    bench.run_phase("score")
    assert bench.outcome(id).verdict == "success"
    assert bench.runner.started == ["score"]


def test_a_worker_whose_attempt_was_taken_away_drops_it_at_its_next_beat(bench: Bench) -> None:
    id = bench.send()
    bench.step_until(lambda: bench.runner.started == ["fit"])
    bench.lab.release(id, 1, "lost")
    bench.clock.now += BEAT_S
    bench.worker.step()
    assert bench.runner.killed == 1
    assert bench.worker.idle
    assert bench.lab.ledger.experiment(id).state == "queued"


def test_an_interrupted_worker_gives_its_work_back_and_nobody_is_blamed(bench: Bench) -> None:
    id = bench.send()
    bench.step_until(lambda: bench.runner.started == ["fit"])
    bench.clock.now += 3.0
    bench.worker.interrupt("spot notice")
    bench.worker.step()
    [attempt] = bench.lab.ledger.experiment(id).attempts
    assert (attempt.ending, attempt.detail, attempt.used_s) == ("interrupted", "spot notice", 3.0)
    assert bench.runner.killed == 1
    assert bench.queue.waiting() == 1


def test_a_worker_that_reaches_nobody_stops_itself_before_its_lease_runs_out(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.send()
    bench.step_until(lambda: bench.runner.started == ["fit"])

    def away(*_: object, **__: object) -> None:
        raise Unavailable("the network is gone")
    monkeypatch.setattr(bench.lab.ledger, "beat", away)
    bench.clock.now += LEASE_S - GRACE_S - 1
    bench.worker.step()
    assert bench.runner.killed == 0, "it must wait while its lease holds"
    bench.clock.now += 2
    bench.worker.step()
    assert bench.runner.killed == 1
    assert bench.worker.idle


def test_an_attempt_is_held_to_the_terms_that_its_money_was_reserved_for(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease of 200 s, though the worker was started under one of 60 s, and a phase of 7 s."""
    id = bench.lab.queue()
    bench.lab.reserve(id, terms=Terms(lease_s=200.0, grace_s=GRACE_S, beat_s=50.0, phase_s=7.0, memory_mb=99))
    bench.queue.send(id)
    bench.step_until(lambda: bench.runner.started == ["fit"])
    assert bench.runner.limits == (7.0, 99)
    bench.worker.step()
    bench.clock.now += 49.0
    bench.worker.step()
    beat = bench.lab.ledger.beat_of(id, 1)
    assert beat is not None
    assert beat.n == 1, "it beats by the terms of the attempt"

    def away(*_: object, **__: object) -> None:
        raise Unavailable("the network is gone")
    monkeypatch.setattr(bench.lab.ledger, "beat", away)
    bench.clock.now += 130.0
    bench.worker.step()
    assert bench.runner.killed == 0
    bench.clock.now += 10.0
    bench.worker.step()
    assert bench.runner.killed == 1


def test_a_beat_counts_also_where_the_queue_cannot_be_reached(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.send()
    bench.step_until(lambda: bench.runner.started == ["fit"])

    def away(*_: object, **__: object) -> None:
        raise Unavailable("the queue is gone")
    monkeypatch.setattr(bench.queue, "extend", away)
    for _ in range(20):
        bench.clock.now += BEAT_S
        bench.worker.step()
    assert bench.runner.killed == 0


def test_beats_carry_what_the_phase_claims_and_what_was_used(bench: Bench) -> None:
    id = bench.send()
    bench.step_until(lambda: bench.runner.started == ["fit"])
    bench.worker.step()
    bench.clock.now += BEAT_S
    bench.worker.step()
    beat = bench.lab.ledger.beat_of(id, 1)
    assert beat is not None
    assert (beat.n, beat.phase, beat.progress, beat.used_s) == (2, "fit", {"step": 1}, BEAT_S)


def test_an_idle_worker_listens_a_bounded_while_and_one_with_work_does_not(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives its work back within ten seconds of being told to go, and beats while it works."""
    waited, receive = list[float](), bench.queue.receive

    def listened(invisible_s: float, wait_s: float = 0.0) -> Message | None:
        waited.append(wait_s)
        return receive(invisible_s, wait_s)
    monkeypatch.setattr(bench.queue, "receive", listened)
    bench.worker.step()
    bench.send()
    bench.step_until(lambda: bench.runner.started == ["fit"])
    bench.worker.step()
    assert waited == [LISTEN_S, LISTEN_S]
    assert LISTEN_S <= LAST_STEPS_S


def test_a_message_for_what_cannot_be_claimed_is_done_with(bench: Bench) -> None:
    bench.queue.send(bench.lab.queue())  # no money is reserved for it
    bench.queue.send("e9999")  # there is no such experiment
    for _ in range(6):
        bench.worker.step()
    assert bench.queue.waiting() == 0
    assert bench.runner.started == []


def test_a_reply_to_the_claim_that_was_lost_is_asked_for_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    id = bench.send()
    claim = bench.lab.ledger.claim
    lost = iter([True, False])

    def claim_with_a_lost_reply(*arguments: Any, **named: Any) -> int:
        fence = claim(*arguments, **named)
        if next(lost):
            raise Unavailable("the reply was lost")
        return fence
    monkeypatch.setattr(bench.lab.ledger, "claim", claim_with_a_lost_reply)
    bench.run_phase("fit")
    bench.run_phase("score")
    assert bench.outcome(id).verdict == "success"
    assert len(bench.lab.ledger.experiment(id).attempts) == 1


def test_an_input_that_is_gone_is_the_harness_s_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> PhaseRequest:
        raise NotFound("the store has no file 1234")
    monkeypatch.setattr(FakeWorkspace, "request", gone)
    outcome = bench.outcome(bench.send())
    assert (outcome.reason, outcome.detail) == ("harness_fault", "the store has no file 1234")


def test_a_stale_worker_cannot_finish(bench: Bench) -> None:
    id, fence = bench.lab.start(experiment("e0100"))
    bench.lab.release(id, fence, "lost")
    with pytest.raises(Stale):
        bench.lab.finish(id, fence)


class Counted(Requests):
    def __init__(self) -> None:
        super().__init__()
        self.made = 0.0

    def count(self) -> dict[str, float]:
        return {"queue": self.made}


def test_requests_are_told_with_the_heartbeats_and_what_was_left_untold_with_those_of_the_next_attempt(
        tmp_path: Path) -> None:
    requests = Counted()
    bench = Bench(tmp_path, requests=requests)

    def told(id: str) -> float:
        beat = bench.lab.ledger.beat_of(id, 1)
        assert beat is not None
        return beat.requests["queue"]
    requests.made = 3.0  # while it looked for work
    first = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    requests.made, bench.clock.now = 10.0, bench.clock.now + BEAT_S
    bench.worker.step()
    assert told(first) == 10.0
    requests.made = 12.0
    bench.worker.interrupt("spot notice")
    bench.worker.step()
    second = bench.send()
    bench.step_until(lambda: bench.worker.experiment == second)
    bench.worker.step()
    assert (told(first), told(second)) == (10.0, 2.0)
    requests.made, bench.clock.now = 13.0, bench.clock.now + BEAT_S
    bench.worker.step()
    assert told(second) == 3.0


def test_what_a_heartbeat_may_have_told_is_not_told_again_though_its_reply_was_lost(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt is cancelled meanwhile, so that no later heartbeat makes it plain."""
    requests = Counted()
    bench = Bench(tmp_path, requests=requests)
    ledger, beat = bench.lab.ledger, bench.lab.ledger.beat

    def taken(id: str, told: Beat) -> None:
        beat(id, told)
        raise Unavailable("the reply was lost")
    first = bench.send()
    bench.step_until(lambda: "fit" in bench.runner.started)
    requests.made, bench.clock.now = 10.0, bench.clock.now + BEAT_S
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "beat", taken)
        bench.worker.step()
    ledger.cancel(first, "not wanted", op_id="cancel")
    bench.step_until(lambda: bench.worker.idle)
    requests.made = 12.0
    second = bench.send()
    bench.step_until(lambda: ledger.beat_of(second, 1) is not None)
    beats = ledger.beats({first: 1, second: 1})
    assert [beats[id].requests["queue"] for id in (first, second)] == [10.0, 2.0]
