"""An attempt's folder: its checkpoints are its experiment's own, and one that is gone costs just itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_workers.collect import NotCollected
from gpu_workers.workspace import RESUME, FolderWorkspace
from lab.experiment import Checkpoint, Experiment, Terms
from lab.local.store import FileStore
from lab.track import Phase
from support.laboratory import experiment

FIT = Phase(name="fit", entry="m:fit", outputs=("model",), live="live")


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, FileStore(folder / "store")

    def workspace(self, id: str) -> FolderWorkspace:
        return FolderWorkspace(self.folder / id, self.store, id)

    def kept(self, id: str, data: bytes) -> str:
        """What the attempt's live output is stored under."""
        workspace = self.workspace(id)
        workspace.request(experiment(id), FIT, Terms())
        (self.folder / id / "fit" / "live").write_bytes(data)
        return workspace.keep_live(FIT)["live"]

    def resumed(self, id: str, hash: str) -> bytes | None:
        """What the next attempt goes on from."""
        left = {"fit": Checkpoint(outputs={"live": hash}, done=False)}
        waiting: Experiment = experiment(id, checkpoints=left)
        request = self.workspace(id).request(waiting, FIT, Terms())
        return Path(request.inputs[RESUME]).read_bytes() if RESUME in request.inputs else None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_same_bytes_of_two_experiments_are_two_files_and_each_goes_on_from_its_own(bench: Bench) -> None:
    first, second = bench.kept("e1", b"step 7"), bench.kept("e2", b"step 7")
    bench.store.remove(first)
    assert bench.resumed("e2", second) == b"step 7"


def test_without_its_checkpoint_a_phase_begins_anew(bench: Bench) -> None:
    hash = bench.kept("e1", b"step 7")
    path = bench.store.fetch(hash)
    path.chmod(0o644)
    path.write_bytes(b"something else")
    assert bench.resumed("e1", hash) is None, "damaged"
    bench.store.remove(hash)
    assert bench.resumed("e1", hash) is None, "gone"


def test_what_bears_no_mark_of_the_experiment_is_none_of_its_checkpoints(bench: Bench) -> None:
    """As an older version left it: others may name the same bytes, and nobody may remove them."""
    assert bench.resumed("e1", bench.store.put_bytes(b"step 7")) is None
    assert bench.resumed("e1", bench.kept("e2", b"step 7")) is None


def test_one_that_is_too_large_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_workers.workspace.LIVE_BYTES", 5)
    with pytest.raises(NotCollected, match="6 bytes, and 5 are allowed"):
        bench.kept("e1", b"step 7")
