"""Real workers that train are killed, told to go, and found again in a folder that has moved: the weights are those of
a training that was left alone, bit for bit."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from lab.experiment import Attempt
from lab.space import Value
from support.metadata import metadata
from support.training import TrainingLab

STEPS = 150  # of the small agent, a hundredth of a second each
FEW = {"hyperprior": 80, "restore": 400}  # of a network, about a tenth and a fiftieth of a second each
SEED = 0
NETWORKS: dict[str, dict[str, Value]] = {
    "hyperprior": {"transform": "dct16", "channels": 128, "frames": 1, "synthesis": "float", "price": 0.0075,
                   "step": 1.0, "chroma": 0.5, "rate": 0.001, "crop": 128},
    "restore": {"crf": 45.0, "scale": "full", "gop_frames": 64, "bit_depth": 8, "channels": 8, "mode": "generic"},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The hash of the weights after so many steps, of a training that nobody disturbed."""
    known: dict[tuple[int, str], str] = {}

    def weights(steps: int, family: str = "candidate", **params: Value) -> str:
        if (steps, family) not in known:
            lab = TrainingLab(tmp_path_factory.mktemp("undisturbed") / "lab", steps, family, **params)
            with at_work(lab):
                lab.until(lab.weights, "the end of the training")
            known[steps, family] = lab.weights()
        return known[steps, family]
    return weights


@contextmanager
def at_work(lab: TrainingLab) -> Iterator[subprocess.Popen[bytes]]:
    worker = lab.worker()
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def killed(lab: TrainingLab, times: int, rng: Random) -> None:
    """Killed `times` times in mid-training, each time after it has got further; every third time the folder moves."""
    for nth in range(times):
        before = lab.kept()
        with at_work(lab) as worker:
            lab.until(lambda known=before: lab.kept() != known, "a checkpoint")
            lab.until(lambda: rng.random() < 0.2, "a moment of chance")
            assert not lab.weights(), "the training was too short to be killed so often"
            lab.unplug(worker)
        if nth % 3 == 1:
            lab.move()
    with at_work(lab):
        lab.until(lab.weights, "the end of the training")


def check(lab: TrainingLab, times: int, weights: str) -> None:
    assert [attempt.ending for attempt in lab.now.attempts][:times] == ["lost"] * times
    assert lab.weights() == weights


def test_a_training_whose_worker_is_killed_goes_on_in_a_folder_that_moved(
        tmp_path: Path, undisturbed: Callable[..., str]) -> None:
    lab = TrainingLab(tmp_path / "lab", STEPS)
    killed(lab, 2, Random(SEED))
    check(lab, 2, undisturbed(STEPS))


@pytest.mark.ci
def test_a_training_that_is_killed_twenty_times_ends_with_the_same_bits(
        tmp_path: Path, undisturbed: Callable[..., str]) -> None:
    lab = TrainingLab(tmp_path / "lab", 6 * STEPS)
    killed(lab, 20, Random(SEED))
    check(lab, 20, undisturbed(6 * STEPS))


@pytest.mark.ci
@pytest.mark.parametrize("family", NETWORKS)
def test_a_network_that_is_killed_in_training_ends_with_the_same_bits(
        family: str, tmp_path: Path, undisturbed: Callable[..., str]) -> None:
    lab = TrainingLab(tmp_path / "lab", FEW[family], family, **NETWORKS[family])
    killed(lab, 2, Random(SEED))
    check(lab, 2, undisturbed(FEW[family], family, **NETWORKS[family]))


@pytest.mark.soak
@pytest.mark.parametrize("family", NETWORKS)
def test_a_network_that_is_killed_twenty_times_in_training_ends_with_the_same_bits(
        family: str, tmp_path: Path, undisturbed: Callable[..., str]) -> None:
    lab = TrainingLab(tmp_path / "lab", 10 * FEW[family], family, **NETWORKS[family])
    killed(lab, 20, Random(SEED))
    check(lab, 20, undisturbed(10 * FEW[family], family, **NETWORKS[family]))


def test_a_worker_that_is_told_to_go_hands_its_training_back_and_another_goes_on(
        tmp_path: Path, undisturbed: Callable[..., str]) -> None:
    lab = TrainingLab(tmp_path / "lab", STEPS)
    with at_work(lab) as worker:
        lab.until(lab.kept, "a checkpoint")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    handed_back(lab)
    goes_on(lab, undisturbed(STEPS))


@pytest.mark.ci
def test_a_spot_worker_whose_machine_is_taken_hands_its_training_back_and_another_goes_on(
        tmp_path: Path, undisturbed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    lab = TrainingLab(tmp_path / "lab", 6 * STEPS)  # longer than the five seconds in which a notice is heard
    with metadata() as here:
        monkeypatch.setenv("AETHER_IMDS", here.address)
        with at_work(lab) as worker:
            lab.until(lab.kept, "a checkpoint")
            here.interrupt()
            assert worker.wait(60) == 0
    monkeypatch.delenv("AETHER_IMDS")
    attempt = handed_back(lab)
    assert attempt.worker.startswith(here.told["instance-id"])
    assert "spot interruption" in attempt.detail
    assert lab.lab.queues["cpu"].waiting() == 1
    goes_on(lab, undisturbed(6 * STEPS))


def handed_back(lab: TrainingLab) -> Attempt:
    [attempt] = lab.now.attempts
    assert (lab.now.state, attempt.ending) == ("queued", "interrupted")
    assert lab.kept()
    assert not lab.weights()
    return attempt


def goes_on(lab: TrainingLab, weights: str) -> None:
    lab.offer()
    with at_work(lab):
        lab.until(lab.weights, "the end of the training")
    assert lab.weights() == weights


def test_a_training_that_loses_its_way_ends_with_its_own_reason_also_after_a_kill(tmp_path: Path) -> None:
    lab = TrainingLab(tmp_path / "lab", STEPS, explode_at=STEPS - 10)
    with at_work(lab) as worker:
        lab.until(lab.kept, "a checkpoint")
        lab.unplug(worker)
    with at_work(lab):
        lab.until(lambda: lab.now.state == "finished", "its end")
    outcome = lab.now.outcome
    assert outcome is not None
    assert (outcome.verdict, outcome.reason, outcome.scores) == ("failed", "diverged", None)
    assert "the loss became" in outcome.detail
