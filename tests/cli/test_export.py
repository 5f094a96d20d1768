"""`aether export`: a folder that decodes by itself, on a machine that knows nothing of Aether."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy
import pytest
from msgspec.structs import replace

from cli.clips import import_clips
from cli.main import run_command
from cli.summary import front_lines
from cli.watch import Watch
from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.rerun import rerun
from lab.backend import Backend, open_backend
from lab.experiment import Experiment, Spec
from lab.judging.champion import SEEDS
from lab.local.store import FileStore
from lab.table import Record
from lab.track import load_track
from orchestrator.planner import clip_sets
from support.footage import cut

Said = Callable[..., str]
PACKAGES = Path(numpy.__file__).parents[1]


@pytest.fixture(scope="module")
def codec_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A laboratory with one real codec experiment that finished, and one that never ran."""
    folder = tmp_path_factory.mktemp("codec")
    lab = open_backend(f"local:{folder / 'lab'}", create=True)
    clip = cut("flower_720p30", 6, folder, "scale=128:72")
    import_clips(lab, load_track("codec"), [(clip, "score")])
    spec = Spec(track="codec", family="classic", clips=clip_sets(lab.store).explore, seed=1, protocol=1,
                params=as_people_run("svtav1", svtav1_crf=45.0, svtav1_preset=10))
    first = Experiment(id="e00001", spec=spec, fingerprint=spec.fingerprint(), purpose="explore", designer="control")
    keep(lab, Experiment(id="e00002", spec=spec, fingerprint="other", purpose="explore", designer="control"))
    keep(lab, replace(rerun(lab, first, folder / "work"), hypothesis="a first look"))
    for hash, _, _ in (own := FileStore(folder / "work" / "store")).hashes():
        lab.store.put_bytes(own.read(hash))
    return folder


def keep(lab: Backend, experiment: Experiment) -> None:
    record = Record("experiment", experiment.id, 1, msgspec.json.encode(experiment), experiment.state)
    lab.ledger.table.restore(record)  # type: ignore[attr-defined]


def alone(taken: Path, cwd: Path, *words: str, stdin: IO[bytes] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Python without its site module, so without the editable install: of ours there is only the folder."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(taken), str(PACKAGES)])}
    done = subprocess.run([sys.executable, "-S", "-B", *words], cwd=cwd, stdin=stdin, capture_output=True,
                          env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done


@pytest.fixture(scope="module")
def taken(codec_lab: Path) -> Path:
    target = codec_lab / "taken"
    assert run_command(["export", "e00001", str(target), "--backend", f"local:{codec_lab / 'lab'}"]) == 0
    return target


def test_the_example_decodes_in_a_clean_process_with_only_that_folder(taken: Path, tmp_path: Path) -> None:
    with (taken / "example.aec").open("rb") as stream:
        done = alone(taken, tmp_path, "-m", "gpu_workers.codec.decoder", stdin=stream)
    assert len(done.stdout) == 6 * 128 * 72 * 3 // 2
    assert hashlib.sha256(done.stdout).hexdigest() == (taken / "example.sha256").read_text().split()[0]


def test_nothing_of_ours_is_imported_from_elsewhere(taken: Path, tmp_path: Path) -> None:
    script = ("import sys, gpu_workers.codec.decoder.__main__; print([m.__file__ for n, m in sys.modules.items() "
              "if n.split('.')[0] in ('lab', 'gpu_workers') and getattr(m, '__file__', None)])")
    told = alone(taken, tmp_path, "-c", script).stdout.decode()
    assert "decoder/classic.py" in told
    assert all(str(taken) in path for path in told.strip("[]\n").split(", "))


def test_requirements_name_just_what_the_decoder_imports(taken: Path) -> None:
    names = [line.partition("==")[0] for line in (taken / "requirements.txt").read_text().split()]
    assert names == ["av", "crc32c", "msgspec", "numpy"]


def test_no_encoder_and_no_measuring_travel_along(taken: Path) -> None:
    assert not list(taken.rglob("families"))
    assert not list(taken.rglob("measure"))
    assert not list(taken.rglob("__pycache__"))


def test_the_card_tells_what_was_measured_and_how_sure_it_is(taken: Path) -> None:
    card = (taken / "README.md").read_text()
    scores = json.loads((taken / "experiment.json").read_text())["outcome"]["scores"]
    assert scores["device_class"] in card
    assert f"| psnr_y_db | {scores['mean']['psnr_y_db']:.4g} | dB | measured |" in card
    for words in ("fingerprint", "settings revision 0", "not confirmed", "a first look", "svtav1_crf = 45",
                  "not applicable: the decoder has no network", "aether reproduce e00001", "Apache-2.0"):
        assert words in card
    assert "Apache License" in (taken / "LICENSE").read_text()
    assert (taken / "NOTICE").stat().st_size > 100


def test_the_command_on_the_card_makes_such_a_stream_again(taken: Path, codec_lab: Path, tmp_path: Path,
                                                           said: Said) -> None:
    words = next(line for line in (taken / "README.md").read_text().splitlines() if line.startswith("aether codec"))
    clip = next(codec_lab.glob("*.mkv"))
    target = tmp_path / "again.aec"
    said(*[{"IN": str(clip), "OUT.aec": str(target)}.get(word, word) for word in words.split()[1:]])
    assert target.read_bytes() == (taken / "example.aec").read_bytes()


def test_a_model_named_on_the_command_line_is_that_experiment(codec_lab: Path, tmp_path: Path, taken: Path,
                                                              said: Said) -> None:
    target, clip = tmp_path / "model.aec", next(codec_lab.glob("*.mkv"))
    said("codec", "encode", str(clip), str(target), "--model", "e00001", "--backend", f"local:{codec_lab / 'lab'}")
    assert target.read_bytes() == (taken / "example.aec").read_bytes()


@pytest.mark.parametrize(("id", "why"), [("e00002", "no result"), ("e00009", "no experiment"),
                                         ("champion", "no champion is confirmed yet")])
def test_what_has_no_result_is_not_taken_away(id: str, why: str, codec_lab: Path, tmp_path: Path, said: Said) -> None:
    target = tmp_path / "none"
    assert why in said("export", id, str(target), "--backend", f"local:{codec_lab / 'lab'}", code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_written_over(taken: Path, codec_lab: Path, said: Said) -> None:
    before: Any = sorted(taken.rglob("*"))
    assert "there already" in said("export", "e00001", str(taken), "--backend", f"local:{codec_lab / 'lab'}", code=2)
    assert sorted(taken.rglob("*")) == before


def test_a_bitstream_that_was_swept_is_said_and_leaves_no_half_folder(codec_lab: Path, tmp_path: Path,
                                                                      said: Said) -> None:
    lab = open_backend(f"local:{codec_lab / 'lab'}")
    outputs = lab.ledger.experiment("e00001").checkpoints["encode"].outputs
    (stream,) = [hash for name, hash in outputs.items() if name.endswith(".aec")]
    data = lab.store.read(stream)
    lab.store.remove(stream)
    try:
        told = said("export", "e00001", str(tmp_path / "x"), "--backend", f"local:{codec_lab / 'lab'}", code=2)
    finally:
        lab.store.put_bytes(data)
    assert "no bitstream" in told
    assert list(tmp_path.iterdir()) == []


def test_the_champion_is_taken_away_by_its_title_once_three_seeds_confirmed_it(codec_lab: Path, tmp_path: Path,
                                                                               said: Said) -> None:
    shutil.copytree(codec_lab / "lab", tmp_path / "lab")
    lab = open_backend(f"local:{tmp_path / 'lab'}")
    best = lab.ledger.experiment("e00001")
    for nth, seed in enumerate(SEEDS):
        keep(lab, replace(best, id=f"e0001{nth}", purpose="confirm", group=best.id, spec=replace(best.spec, seed=seed)))
    said("export", "champion", str(tmp_path / "out"), "--backend", f"local:{tmp_path / 'lab'}")
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("# e00001")
    assert f"seed {SEEDS[0]} scored" in card or f"seed {SEEDS[0]} passed" in card


def test_the_card_and_the_summary_of_a_refuted_experiment_say_so(codec_lab: Path, tmp_path: Path, said: Said) -> None:
    shutil.copytree(codec_lab / "lab", tmp_path / "lab")
    lab = open_backend(f"local:{tmp_path / 'lab'}")
    best = lab.ledger.experiment("e00001")
    assert best.outcome is not None
    crashed = replace(best.outcome, scores=None, verdict="failed", reason="crash")
    keep(lab, replace(best, id="e00010", purpose="confirm", group=best.id, spec=replace(best.spec, seed=SEEDS[0]),
                      outcome=crashed))
    said("export", "e00001", str(tmp_path / "out"), "--backend", f"local:{tmp_path / 'lab'}")
    assert f"seed {SEEDS[0]} failed; **refuted**" in (tmp_path / "out" / "README.md").read_text()
    assert {line.id: line.refuted for line in front_lines(Watch(lab))}["e00001"]
