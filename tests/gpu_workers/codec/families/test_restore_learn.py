"""A filter trained on other footage: frozen, repeatable, resumed to the bit, of use where it was not trained."""

import io
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from gpu_workers.codec.contract import Kind, VideoInfo
from gpu_workers.codec.decoder.restore import Origin, Setup, filter_of
from gpu_workers.codec.families import classic
from gpu_workers.codec.families.restore_base import psnr_y_db
from gpu_workers.codec.families.restore_fit import Fitting
from gpu_workers.codec.frames import RawReader
from lab.canonical import sha256
from lab.errors import Diverged, UserError
from lab.experiment import TrainingLimit
from support.footage import noise
from support.restoring import FITTED, blurred_on_the_way, decoded_elsewhere, restore_chunks, trained
from support.restoring import PLAIN as COARSE_PLAIN
from support.restoring import TRAINED as COARSE
from support.streams import Clip, crop, header_of, stream

CLIPS = [crop("talk_540x720p30", 6, 160, 128), crop("flower_720p30", 4, 130, 100)]
UNSEEN = crop("walk_480p30", 6, 160, 128)

TRAINED, PLAIN = {**COARSE, "crf": 22.0}, {**COARSE_PLAIN, "crf": 22.0}

pytestmark = pytest.mark.ci


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    import_module("torch").set_num_threads(1)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder sees blurred pictures, so that there is something to learn."""
    monkeypatch.setattr(classic, "to_coded", blurred_on_the_way)


def psnr_db(planar: bytes) -> float:
    return psnr_y_db(UNSEEN, RawReader(io.BytesIO(planar), UNSEEN.info), UNSEEN.info)


def test_it_helps_on_footage_that_it_has_never_seen_and_takes_no_bytes_of_the_stream(
        planted: None, tmp_path: Path) -> None:
    model = trained(CLIPS, tmp_path / "a", 200, TRAINED)
    chunks = restore_chunks(UNSEEN, TRAINED, model=model)
    assert [Setup.from_bytes(chunk.data).origin for chunk in chunks if chunk.kind is Kind.CONFIG] == [Origin.MODEL]
    assert not any(chunk.kind is Kind.WEIGHTS for chunk in chunks)
    data = stream(header_of(UNSEEN.info, "restore", sha256(model.read_bytes())), chunks)
    frames = decoded_elsewhere(data, "--model", str(model))
    plain = decoded_elsewhere(stream(header_of(UNSEEN.info, "restore"), restore_chunks(UNSEEN, PLAIN)))
    assert psnr_db(frames) > psnr_db(plain) + 1.0
    older = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    assert decoded_elsewhere(data, "--model", str(model), "--threads", "2", **older) == frames


def test_the_same_steps_and_seed_give_the_same_weights_interrupted_or_not(tmp_path: Path) -> None:
    kept: list[Path] = []

    def keep(path: Path) -> None:
        kept.append(tmp_path / f"{len(kept)}.safetensors")
        shutil.copyfile(path, kept[-1])

    whole = trained(CLIPS, tmp_path / "whole", 40, checkpoint=keep, checkpoint_s=0.0).read_bytes()
    assert trained(CLIPS, tmp_path / "again", 40).read_bytes() == whole
    assert len(kept) == 4
    for number, path in enumerate(kept[:3]):
        assert trained(CLIPS, tmp_path / f"from{number}", 40, resume=path).read_bytes() == whole


def test_a_limit_in_seconds_is_kept_and_a_resumed_training_keeps_its_schedule(tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    kept = tmp_path / "kept.safetensors"
    limit = TrainingLimit(seconds=6.0, device_class="any")
    trained(CLIPS, tmp_path / "a", limit=limit, checkpoint_s=0.0, progress=lambda **claims: told.append(claims),
            checkpoint=lambda path: shutil.copyfile(path, kept))  # fmt: skip
    planned = told[-1]["steps"]
    assert 20 < planned < 5000
    again: list[dict[str, float]] = []
    trained(CLIPS, tmp_path / "b", limit=limit, resume=kept, progress=lambda **claims: again.append(claims))
    assert all(claims["steps"] == planned and claims["step"] > told[-1]["step"] for claims in again)


def test_a_clip_in_another_layout_teaches_nothing_and_alone_is_refused(tmp_path: Path) -> None:
    layout = VideoInfo(width=64, height=64, fps_num=25, fps_den=1, frames=2, pix_fmt="yuv444p")
    other = Clip(layout, noise(layout, 1))
    assert trained([*CLIPS, other], tmp_path / "a", 20).read_bytes() == trained(
        CLIPS, tmp_path / "b", 20).read_bytes()  # fmt: skip
    with pytest.raises(UserError, match="4:2:0"):
        trained([other], tmp_path / "c", 20)


def test_what_learns_from_its_own_clip_is_not_trained(tmp_path: Path) -> None:
    for number, params in enumerate((FITTED, PLAIN)):
        with pytest.raises(UserError, match="mode is generic"):
            trained(CLIPS, tmp_path / str(number), 20, params)
    with pytest.raises(UserError, match="no such restore codec"):
        trained(CLIPS, tmp_path / "wrong", 20, {**TRAINED, "crf": 90.0})


def test_a_child_starts_from_its_parents_weights(planted: None, tmp_path: Path) -> None:
    parent = trained(CLIPS, tmp_path / "parent", 150, TRAINED)
    child, orphan = (trained(CLIPS, tmp_path / name, 20, TRAINED, **more) for name, more in
                     (("child", {"parent": parent}), ("orphan", {})))  # fmt: skip
    with_parent, alone = (psnr_db(decoded_elsewhere(
        stream(header_of(UNSEEN.info, "restore", sha256(model.read_bytes())),
               restore_chunks(UNSEEN, TRAINED, model=model)), "--model", str(model))) for model in (child, orphan))
    assert with_parent > alone + 0.5


def test_a_loss_that_explodes_ends_the_training_with_its_own_reason(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fitting, "_rate", lambda self: 1e6)
    with pytest.raises(Diverged, match="step"):
        trained(CLIPS, tmp_path / "a", 200)


def test_the_weights_are_a_filter_and_little_else(tmp_path: Path) -> None:
    model = trained(CLIPS, tmp_path / "a", 20)
    assert filter_of(model).channels == 8
    assert model.stat().st_size < len(filter_of(model).to_bytes()) + 100
