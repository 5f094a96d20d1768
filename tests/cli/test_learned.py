"""A learned codec in the hand: encoded with an experiment's weights, decoded elsewhere, exported, run again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy
import pytest
from msgspec.structs import replace

from cli.clips import import_clips
from cli.demo import FIRST
from gpu_workers.codec.decoder.container import Reader
from gpu_workers.rerun import rerun
from lab.backend import Backend, open_backend
from lab.experiment import Experiment, Spec, TrainingLimit
from lab.local.store import FileStore
from lab.model import makers, model_of
from lab.table import Record
from lab.track import load_track
from orchestrator.planner import clip_sets
from support.footage import cut, synthetic

Said = Callable[..., str]
PACKAGES = Path(numpy.__file__).parents[1]
TRACK = load_track("codec")

pytestmark = pytest.mark.ci


@dataclass
class Trained:
    """A laboratory in which one network was trained, and another video than those that it saw."""

    lab: Backend
    folder: Path
    video: Path

    @property
    def backend(self) -> tuple[str, str]:
        return "--backend", self.lab.address

    @property
    def experiment(self) -> Experiment:
        return self.lab.ledger.experiment("e00001")

    @property
    def weights(self) -> str:
        model = model_of(self.experiment, TRACK, self.lab.store)
        assert model is not None
        return model.weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    lab = open_backend(f"local:{folder / 'lab'}", create=True)
    small = "scale=96:54"
    import_clips(lab, TRACK, [(cut("drive_1080p30", 4, folder, "scale=320:180"), "train"),
                              (cut("flower_720p30", 2, folder, small), "score")])
    spec = Spec(track="codec", family="hyperprior", clips=clip_sets(lab.store).explore, seed=1, protocol=1,
                params=FIRST.params, limit=TrainingLimit(steps=12))
    first = Experiment(id="e00001", spec=spec, fingerprint=spec.fingerprint(), purpose="explore", designer="control")
    keep(lab, rerun(lab, first, folder / "work"))
    for hash, _, _ in (own := FileStore(folder / "work" / "store")).hashes():
        lab.store.put_bytes(own.read(hash))
    return Trained(lab, folder, synthetic(folder / "odd.mkv", "yuv420p", "67x35", 3))


def keep(lab: Backend, experiment: Experiment) -> None:
    record = Record("experiment", experiment.id, 1, msgspec.json.encode(experiment), experiment.state)
    lab.ledger.table.restore(record)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def stream(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The other video, coded with the experiment's weights by the command itself."""
    target = tmp_path_factory.mktemp("stream") / "odd.aec"
    done = subprocess.run([sys.executable, "-m", "cli.main", "codec", "encode", str(trained.video), str(target),
                           "--model", "e00001", *trained.backend, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["model"] == trained.weights
    return target


def test_the_model_is_told_with_what_made_it(trained: Trained) -> None:
    model = model_of(trained.experiment, TRACK, trained.lab.store)
    assert model is not None
    (learned_from,) = model.learned_from
    assert learned_from.name.startswith("drive_1080p30")
    assert (model.family, model.limit.steps, model.seed) == ("hyperprior", 12, 1)
    assert [bool(device) for device in model.devices] == [True]
    assert makers(trained.lab.ledger.all_experiments(), TRACK, model.weights) == ["e00001"]
    assert makers(trained.lab.ledger.all_experiments(), TRACK, "0" * 64) == []
    data = trained.lab.store.read(model.weights)
    assert hashlib.sha256(data).hexdigest() == model.weights
    outcome = trained.experiment.outcome
    assert outcome is not None
    assert outcome.scores is not None, outcome
    assert outcome.scores.mean["model_mb"] == pytest.approx(len(data) / 1e6)


def test_a_stream_names_its_weights_and_the_laboratory_finds_them(trained: Trained, stream: Path, tmp_path: Path,
                                                                  said: Said) -> None:
    with stream.open("rb") as file:
        assert Reader(file).header.model == trained.weights
    assert f"{trained.weights}, trained by e00001" in said("codec", "info", str(stream), *trained.backend)
    said("codec", "decode", str(stream), str(tmp_path / "a.yuv"), *trained.backend)
    assert (tmp_path / "a.yuv").stat().st_size == 3 * (67 * 35 + 2 * 34 * 18)


def test_on_another_machine_it_says_what_is_missing_and_takes_a_file_or_an_export(
        trained: Trained, stream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no laboratory
    target = tmp_path / "b.yuv"
    line = said("codec", "decode", str(stream), str(target), code=2)
    assert trained.weights in line
    assert "--model" in line
    assert not target.exists()
    weights = tmp_path / "any name.bin"
    weights.write_bytes(trained.lab.store.read(trained.weights))
    said("codec", "decode", str(stream), str(target), "--model", str(weights))
    by_file = target.read_bytes()
    said("export", "e00001", "taken", *trained.backend)
    said("codec", "decode", str(stream), str(target), "--model", "taken")
    assert target.read_bytes() == by_file
    other = tmp_path / "other.bin"
    other.write_bytes(b"other weights")
    assert trained.weights in said("codec", "decode", str(stream), str(target), "--model", str(other), code=2)
    again = tmp_path / "again.aec"
    said("codec", "encode", str(trained.video), str(again), "--model", "taken")
    assert again.read_bytes() == stream.read_bytes(), "the folder holds all that decides the bytes"


def test_it_decodes_from_the_exported_folder_alone_without_encoder_or_measuring(
        trained: Trained, tmp_path: Path, said: Said) -> None:
    taken = tmp_path / "taken"
    said("export", "e00001", str(taken), *trained.backend)
    card = (taken / "README.md").read_text()
    for words in ("12 steps, seed 1, by e00001", trained.weights, "--model model.safetensors", "Apache-2.0"):
        assert words in card
    assert hashlib.sha256((taken / "model.safetensors").read_bytes()).hexdigest() == trained.weights
    names = {line.partition("==")[0] for line in (taken / "requirements.txt").read_text().split()}
    assert {"torch", "constriction", "safetensors"} <= names
    assert "compressai" not in names, "only training needs it"
    assert not list(taken.rglob("families")) + list(taken.rglob("measure"))
    script = ("import sys, runpy; sys.argv = ['decoder', '--model', 'model.safetensors']\n"
              "try: runpy.run_module('gpu_workers.codec.decoder', run_name='__main__')\n"
              "finally: print(*sorted(m for m in sys.modules if m.startswith('gpu_workers')), file=sys.stderr)")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(taken), str(PACKAGES)])}
    with (taken / "example.aec").open("rb") as example:
        done = subprocess.run([sys.executable, "-S", "-B", "-c", script], cwd=taken, stdin=example, env=environment,
                              capture_output=True, check=True)
    assert hashlib.sha256(done.stdout).hexdigest() == (taken / "example.sha256").read_text().split()[0]
    loaded = done.stderr.decode().split()
    assert "gpu_workers.codec.decoder.hyperprior" in loaded
    assert not [name for name in loaded if "families" in name or "measure" in name or "learning" in name]


def test_weights_of_another_kind_and_missing_ones_are_told(trained: Trained, tmp_path: Path, said: Said) -> None:
    video, target = str(trained.video), str(tmp_path / "x.aec")
    assert "hyperprior needs trained weights" in said("codec", "encode", video, target, "--family", "hyperprior",
                                                      code=2)
    assert "leave --family out" in said("codec", "encode", video, target, "--family", "restore", "--model", "e00001",
                                        *trained.backend, code=2)
    assert "has no crf" in said("codec", "encode", video, target, "--crf", "30", "--model", "e00001",
                                *trained.backend, code=2)
    assert list(tmp_path.iterdir()) == []


def test_it_is_made_again_by_the_same_steps_to_the_same_numbers(trained: Trained, said: Said) -> None:
    told = json.loads(said("reproduce", "e00001", "--json", *trained.backend))
    assert told["same"]
    assert not told["weights_kept"]


def test_what_was_trained_by_the_clock_keeps_its_weights_when_it_is_made_again(trained: Trained, said: Said) -> None:
    before = trained.experiment
    limit = TrainingLimit(seconds=3.0, device_class="some other machine")
    keep(trained.lab, replace(before, id="e00002", spec=replace(before.spec, limit=limit)))
    told = json.loads(said("reproduce", "e00002", "--json", *trained.backend))
    assert told["weights_kept"]
    assert told["same"]
