"""The documented pair of agents, run by the real worker as printed: trained, frozen, encoded, decoded and scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from gpu_workers.codec.decoder.container import Reader
from gpu_workers.codec.phases import DECODING_AGENT, ENCODING_AGENT
from gpu_workers.codec.two_agents import frozen_model
from gpu_workers.machine import MachineLock
from gpu_workers.phase import Box, Refuse
from gpu_workers.rerun import rerun
from lab import bundle
from lab.backend import Backend, open_backend
from lab.canonical import canonical_json
from lab.errors import Damaged, UserError
from lab.experiment import Clip, Dataset, Experiment, Outcome, Spec, TrainingLimit
from lab.local.store import FileStore
from support.boxes import need_sandbox
from support.footage import cut
from support.laboratory import experiment
from support.training import printed

BOTH = (ENCODING_AGENT, DECODING_AGENT)


@dataclass
class Bench:
    """A laboratory with one clip to learn from and one to be scored on."""

    lab: Backend
    folder: Path

    def run(self, files: dict[str, str]) -> Experiment:
        clips = (self.clip("drive_1080p30", 6, "train"), self.clip("flower_720p30", 4, "score"))
        store = self.lab.store
        spec = Spec(track="codec", family="candidate", params={}, seed=1, protocol=1, limit=TrainingLimit(steps=2),
                    code=bundle.write(store, files), clips=store.put_bytes(canonical_json(Dataset(clips=clips))))
        return rerun(self.lab, experiment("e0001", spec), self.folder / "again")

    def clip(self, name: str, frames: int, role: Literal["train", "score"]) -> Clip:
        path = cut(name, frames, self.folder, "scale=160:90")
        return Clip(name=name, role=role, hash=self.lab.store.put(path))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    need_sandbox()
    return Bench(open_backend(f"local:{tmp_path / 'lab'}", create=True), tmp_path)


def outcome(run: Experiment) -> Outcome:
    assert run.outcome is not None
    return run.outcome


def test_the_documented_codec_is_trained_frozen_coded_and_scored(bench: Bench) -> None:
    run = bench.run(printed())
    scores = outcome(run).scores
    assert scores is not None, outcome(run)
    assert set(run.checkpoints) == {"train", "encode", "score"}
    assert 30 < (scores.mean["psnr_y_db"] or 0) < 45
    weights = run.checkpoints["train"].outputs["weights.safetensors"]
    streams = [hash for name, hash in run.checkpoints["encode"].outputs.items() if name.startswith("streams/")]
    store = FileStore(bench.folder / "again" / "store")
    with store.fetch(streams[0]).open("rb") as file:
        assert Reader(file).header.model == weights, "the stream names the very weights that were frozen"
    beside = store.fetch(weights).stat().st_size + len(printed()[DECODING_AGENT].encode())
    assert scores.mean["model_mb"] == pytest.approx(beside / 1e6)
    assert scores.mean["decoder_teraops_frame"] is None, "nobody of ours has counted a candidate's network"


def test_weights_with_an_endless_header_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes((66_000_000).to_bytes(8, "little") + b"{}")
    spec = Spec(track="codec", family="candidate", params={}, clips="", seed=1, protocol=1)
    box = Box(spec, (), {f"train/{path.name}": path}, tmp_path, 1, False, MachineLock(tmp_path / "lock"), 30.0,
              lambda **_: None)
    with pytest.raises(Refuse, match="66000000 bytes"):
        frozen_model(box)


def test_an_agent_that_loses_its_way_ends_with_its_own_reason(bench: Bench) -> None:
    files = printed()
    files[ENCODING_AGENT] = files[ENCODING_AGENT].replace("above = below = 0.0", "above = below = float('nan')")
    assert outcome(bench.run(files)).reason == "diverged"


def test_an_encoding_agent_that_cannot_encode_is_refused_and_told_so(bench: Bench) -> None:
    files = printed()
    files[ENCODING_AGENT] = files[ENCODING_AGENT].replace("def encode(", "def encodes(")
    ended = outcome(bench.run(files))
    assert ended.reason == "refused"
    assert ended.detail.startswith("train: encoding_agent.py is no agent: it has no function 'encode'; docs/two-agents")


@pytest.mark.parametrize(("change", "reason"), [
    ("yield Frame(tuple(planes))\n        return", "bad_output"),
    ("import sys; sys.exit(0)", "bad_output"),
    ("yield Frame(tuple(plane[:1] for plane in planes))", "bad_output"),
])
def test_a_decoder_that_gives_other_frames_than_promised_has_no_scores(bench: Bench, change: str, reason: str) -> None:
    files = printed()
    files[DECODING_AGENT] = files[DECODING_AGENT].replace("yield Frame(tuple(planes))", change)
    ended = outcome(bench.run(files))
    assert (ended.reason, ended.scores) == (reason, None)


YIELD_CHUNK = "yield Chunk(Kind.KEY if index == 0 else Kind.DELTA, index, zlib.compress(b\"\".join(coded), 9))"


@pytest.mark.parametrize(("agent", "line", "change", "says"), [
    (DECODING_AGENT, "yield Frame(tuple(planes))", "yield None",
     "gave None, and not a Frame of numpy planes for each picture (docs/two-agents.md)"),
    (DECODING_AGENT, "yield Frame(tuple(planes))", "pass",
     "gave None, and not its Frames one after the other (docs/two-agents.md)"),
    (ENCODING_AGENT, YIELD_CHUNK, "yield None", "gave None, where a Chunk is due (docs/two-agents.md)"),
    (ENCODING_AGENT, "return path", "return", "gave None, and not the path of its weights (docs/two-agents.md)"),
], ids=["decode yields None", "decode yields nothing", "encode yields None", "train returns nothing"])
def test_an_agent_that_gives_nothing_is_told_what_the_contract_wants(
        bench: Bench, agent: str, line: str, change: str, says: str) -> None:
    files = printed()
    assert line in files[agent]
    files[agent] = files[agent].replace(line, change)
    ended = outcome(bench.run(files))
    assert ended.reason == "bad_output"
    assert says in ended.detail


def test_a_bundle_is_python_source_within_its_limits(tmp_path: Path) -> None:
    for name, text in printed().items():
        (tmp_path / name).write_text(text)
    assert bundle.from_folder(tmp_path, BOTH) == printed()
    (tmp_path / "extra.py").write_text(f"WEIGHTS = {'x' * 5000!r}")
    with pytest.raises(UserError, match=r"extra\.py:1 has a constant"):
        bundle.from_folder(tmp_path, BOTH)
    (tmp_path / "extra.py").write_text("# " + "x" * bundle.MAX_BYTES)
    with pytest.raises(UserError, match="bytes of source"):
        bundle.from_folder(tmp_path, BOTH)
    (tmp_path / "extra.py").unlink()
    (tmp_path / DECODING_AGENT).unlink()
    with pytest.raises(UserError, match=f"has no {DECODING_AGENT}"):
        bundle.from_folder(tmp_path, BOTH)


def test_what_is_stored_as_something_else_is_no_bundle(bench: Bench) -> None:
    with pytest.raises(Damaged):
        bundle.read(bench.lab.store, bench.lab.store.put_bytes(msgspec.json.encode(["no", "bundle"])))
