"""Candidates that cheat, run by the real worker from clip to scores: none comes out better than its bytes are worth.

Each is the honest codec with one thing changed. Honest is: every second sample in both directions, deflated.
"""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gpu_workers.codec.phases import DECODING_AGENT, ENCODING_AGENT
from gpu_workers.codec.spec import TRACK
from gpu_workers.codec.video import FrameReader
from gpu_workers.main import goals_for
from gpu_workers.rerun import rerun
from lab import bundle
from lab.backend import Backend, open_backend
from lab.canonical import canonical_json
from lab.experiment import Clip, Dataset, Experiment, Outcome, Scores, Spec, TrainingLimit
from lab.judging.champion import SEEDS, Standing, champion, confirm_state, rank, standing
from support.boxes import need_sandbox
from support.footage import cut
from support.laboratory import experiment

ENCODING = """
import zlib
import numpy as np
from aether_kit import Chunk, Kind


def encode(frames, info, model):
    for index, frame in enumerate(frames):
        planes = b"".join(np.ascontiguousarray(plane[::2, ::2]).tobytes() for plane in frame.planes)
        yield Chunk(Kind.KEY, index, zlib.compress(planes, 9))
"""
DECODING = """
import zlib
import numpy as np
from aether_kit import Frame, Kind


def picture(data, shapes):
    offset, planes = 0, []
    for rows, columns in shapes:
        small = (-(-rows // 2), -(-columns // 2))
        plane = np.frombuffer(data, np.uint8, small[0] * small[1], offset).reshape(small)
        offset += plane.size
        planes.append(plane.repeat(2, 0).repeat(2, 1)[:rows, :columns])
    return Frame(tuple(planes))


def decode(chunks, info, model):
    for chunk in chunks:
        yield picture(zlib.decompress(chunk.data), info.video.plane_shapes)
"""
HONEST = {ENCODING_AGENT: ENCODING, DECODING_AGENT: DECODING}
ALL_GREY = """
import numpy as np
from aether_kit import Frame


def grey(info):
    return Frame(tuple(np.full(shape, 128, np.uint8) for shape in info.video.plane_shapes))
"""
GOALS = """
[[goals]]
metric = "bitrate_mbps"
relation = "<="
value = 2.0
[[goals]]
metric = "psnr_y_db"
relation = ">="
value = 20.0
"""  # the honest codec meets them on each of the two clips
DETERMINISTIC = ("bitrate_mbps", "psnr_y_db", "psnr_u_db", "ssim", "vmaf", "worst_psnr_y_db", "overhead_bytes_frame")


@dataclass
class Bench:
    lab: Backend
    folder: Path
    clip: Path
    other: Path
    revision: int
    runs: int = 0

    def run(self, files: dict[str, str], trained: bool = False, confirm: bool = False) -> Experiment:
        """A fresh experiment; with `trained`, it learns from the very footage that is scored, as if it had guessed.
        With `confirm` the other footage is scored, as the daemon asks for it before it believes in anyone."""
        self.runs += 1
        store, learned = self.lab.store, self.lab.store.put(self.clip)
        scored = store.put(self.other) if confirm else learned
        clips = (Clip(name="train", role="train", hash=learned), Clip(name="score", role="score", hash=scored))
        spec = Spec(track="codec", family="candidate", params={}, seed=SEEDS[0] if confirm else 1, protocol=1,
                    code=bundle.write(store, files),
                    clips=store.put_bytes(canonical_json(Dataset(clips=clips if trained else clips[1:]))),
                    limit=TrainingLimit(steps=1) if trained else None)
        asked = experiment(f"e{self.runs:04}", spec, purpose="confirm" if confirm else "explore",
                           settings=self.revision)
        return rerun(self.lab, asked, self.folder / f"run{self.runs}")

    def believed(self, explored: Experiment, confirmation: Experiment) -> Standing:
        """What the daemon then says of it, by the goals of this laboratory."""
        assert explored.spec.recipe() == confirmation.spec.recipe()
        place = rank(explored, TRACK, goals_for(self.lab, explored), {})
        assert place is not None
        return standing(place, {confirmation.spec.seed: confirm_state(confirmation)})

    def outcome(self, files: dict[str, str]) -> Outcome:
        ended = self.run(files).outcome
        assert ended is not None
        return ended

    def scores(self, files: dict[str, str]) -> Scores:
        return scores_of(self.run(files))


def scores_of(run: Experiment) -> Scores:
    assert run.outcome is not None
    assert run.outcome.scores is not None, run.outcome
    assert run.outcome.sandboxed
    return run.outcome.scores


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    need_sandbox()
    folder = tmp_path_factory.mktemp("candidates")
    clip, other = (cut(name, 4, folder, "scale=160:90") for name in ("flower_720p30", "rooftop_720p30"))
    lab = open_backend(f"local:{folder / 'lab'}", create=True)
    return Bench(lab, folder, clip, other, lab.ledger.office.push_settings(GOALS, op_id="goals"))


@pytest.fixture(scope="module")
def explored(bench: Bench) -> Experiment:
    return bench.run(HONEST)


@pytest.fixture(scope="module")
def honest(explored: Experiment) -> Scores:
    return scores_of(explored)


@pytest.fixture(scope="module")
def confirmed(bench: Bench) -> Experiment:
    """The honest one on the other footage."""
    return bench.run(HONEST, confirm=True)


def value(scores: Scores, name: str) -> float:
    found = scores.mean[name]
    assert found is not None, scores.why
    return found


def same(scores: Scores, honest: Scores) -> None:
    """No number that its bytes decide is any better."""
    assert {name: scores.mean[name] for name in DETERMINISTIC} == {name: honest.mean[name] for name in DETERMINISTIC}


def test_one_that_reads_the_clip_while_it_decodes_finds_none(bench: Bench, honest: Scores) -> None:
    """It knows where the store has the clip, and looks at every file that its process could have left open."""
    stored = str(bench.lab.store.fetch(bench.lab.store.put(bench.clip)).resolve())
    thief = f"""
import os
import sys
import av
{ALL_GREY}

def places():
    yield {stored!r}
    yield "/proc/1/root" + {stored!r}
    for base in ("/in", "/scratch", "/out", "/tmp", "/dev/shm"):
        yield from (os.path.join(at, name) for at, _, names in os.walk(base) for name in names
                    if not at.startswith(sys.prefix))  # a picture of some library's own
    yield from (f"/proc/{{pid}}/fd/{{fd}}" for pid in os.listdir("/proc") if pid.isdigit() for fd in range(3, 64))


def stolen():
    for place in places():
        try:
            with av.open(place) as container:
                return [frame.to_ndarray() for frame in container.decode(video=0)]
        except Exception:
            continue


def decode(chunks, info, model):
    frames = stolen()
    for index, chunk in enumerate(chunks):
        if frames:
            rows, columns = info.video.plane_shapes[0]
            luma = frames[index][:rows, :columns].copy()
            yield Frame((luma, *grey(info).planes[1:]))
        else:
            yield grey(info)
"""
    assert outside_a_box(thief, bench.clip) == 0, "but for the box it would have the clip"
    encoding = ENCODING.replace("zlib.compress(planes, 9)", "b'x'")
    scores = bench.scores({ENCODING_AGENT: encoding, DECODING_AGENT: thief})
    assert value(scores, "psnr_y_db") < value(honest, "psnr_y_db") - 3


def outside_a_box(agent: str, clip: Path) -> int:
    """How far the luma of the agent is from the clip's at most, where it runs as any program here."""
    place, originals = clip.with_name(DECODING_AGENT), FrameReader(clip)
    place.write_text(agent)
    decode, info = runpy.run_path(str(place))["decode"], SimpleNamespace(video=originals.info)
    decoded = list(decode(range(len(originals)), info, None))
    assert len(decoded) == len(originals)
    return max(int(np.abs(one.planes[0].astype(int) - original.planes[0]).max())
               for one, original in zip(decoded, originals, strict=True))


def test_a_constant_is_worth_what_a_constant_is_worth(bench: Bench, honest: Scores) -> None:
    constant = f"{ALL_GREY}\n\ndef decode(chunks, info, model):\n    for chunk in chunks:\n        yield grey(info)\n"
    scores = bench.scores({ENCODING_AGENT: ENCODING.replace("zlib.compress(planes, 9)", "b'x'"),
                           DECODING_AGENT: constant})
    assert value(scores, "psnr_y_db") < value(honest, "psnr_y_db") - 3
    assert value(scores, "bitrate_mbps") > 0, "what the container holds is counted"


FORGED = """
    import json, sys
    from pathlib import Path
    best = {name: 99.0 for name in ("psnr_y_db", "ssim", "vmaf", "bitrate_mbps", "decode_fps", "encode_fps")}
    told = json.dumps({"mean": best, "clips": {"score": best}})
    for name in ("scores.json", "frames.json", "failure.json", "artefacts/scores.json"):
        try:
            Path("/out", name).parent.mkdir(exist_ok=True)
            Path("/out", name).write_text(told)
        except OSError:
            pass
    print(told, flush=True)
    print(told, file=sys.stderr, flush=True)
"""


@pytest.mark.ci
def test_metrics_that_it_writes_itself_are_nobodys(bench: Bench, honest: Scores) -> None:
    encoding = ENCODING.replace("def encode(frames, info, model):\n", f"def encode(frames, info, model):\n{FORGED}")
    scores = bench.scores({ENCODING_AGENT: encoding, DECODING_AGENT: DECODING})
    same(scores, honest)
    assert scores.provenance["encode_cpu_s"] == scores.provenance["decode_cpu_s"] == "claimed"
    assert scores.provenance["decode_fps"] == "measured"


@pytest.mark.ci
@pytest.mark.parametrize(("where", "reason"), [(ENCODING_AGENT, "bad_output"), (DECODING_AGENT, "bad_output")])
def test_an_early_exit_is_a_failure_though_its_code_is_zero(bench: Bench, where: str, reason: str) -> None:
    files = dict(HONEST)
    head, _, tail = files[where].rpartition("yield ")
    files[where] = f"{head}import os; os._exit(0)\n        yield {tail}"
    ended = bench.outcome(files)
    assert (ended.reason, ended.scores) == (reason, None)


PATCHES = """
import atexit, hashlib, os, time
import numpy
import gpu_workers.phase as phase

time.perf_counter = time.monotonic = time.process_time = lambda: 0.0
hashlib.sha256 = lambda data=b"": type("Hash", (), {"hexdigest": lambda self: "0" * 64})()
numpy.mean = lambda *values, **more: 99.0
phase.ProgressLines.__call__ = lambda self, **claims: None
os.path.getsize = lambda path: 1
atexit.register(lambda: os.write(2, b"psnr_y_db 99"))
"""


@pytest.mark.ci
@pytest.mark.parametrize("where", [ENCODING_AGENT, DECODING_AGENT])
def test_a_patched_harness_is_patched_in_its_box_alone(bench: Bench, honest: Scores, where: str) -> None:
    scores = bench.scores({**HONEST, where: PATCHES + HONEST[where]})
    same(scores, honest)
    assert value(scores, "decode_ms") > 0


def gains_nowhere_else(bench: Bench, explored: Experiment, confirmed: Experiment, files: dict[str, str],
                       smuggled: Experiment, trained: bool = False) -> None:
    """On the clip that it holds, its stream is next to nothing and every goal is met. Footage that it does not hold,
    and a confirmation's is never shown before, undoes it; what is asked is not too much for the honest one."""
    assert value(scores_of(smuggled), "bitrate_mbps") < value(scores_of(explored), "bitrate_mbps") / 100
    found = bench.run(files, trained, confirm=True)
    assert value(scores_of(found), "psnr_y_db") < value(scores_of(confirmed), "psnr_y_db") - 10
    assert value(scores_of(found), "ssim") < value(scores_of(confirmed), "ssim") / 2
    believed = bench.believed(smuggled, found)
    assert (believed.meets, believed.status) == (True, "refuted")
    believed = bench.believed(explored, confirmed)
    assert (believed.meets, believed.status) == (True, "confirming"), "as far as one of its seeds can tell"
    ranks = [rank(run, TRACK, TRACK.goals, {}) for run in (smuggled, explored)]
    assert ranks[0] is not None
    assert ranks[1] is not None
    ours = ranks[1]._replace(id="ours", recipe="ours", outside=False)
    assert 0 < ranks[0].shortfall < ours.shortfall, "by goals that both miss it is ahead"
    ran = {each.recipe: dict.fromkeys(SEEDS, confirm_state(found)) for each in (ranks[0], ours)}
    champion_of_both = champion([ranks[0], ours], ran)
    assert champion_of_both is not None
    assert champion_of_both.id == "ours", "and where it has only to run, it is not believed"


@pytest.mark.ci
def test_a_clip_in_its_source_is_counted_and_of_no_use_on_other_footage(
        bench: Bench, explored: Experiment, honest: Scores, confirmed: Experiment) -> None:
    """The frames as small constants, each below what one may hold; the stream says nothing. It was frozen before the
    clip was shown, so it can only have guessed; and it is counted beside the stream."""
    import base64
    import zlib

    packed = zlib.compress(b"".join(plane[::2, ::2].tobytes() for frame in FrameReader(bench.clip)
                                    for plane in frame.planes), 9)
    text = base64.b85encode(packed).decode()
    source = "KEPT = [\n" + "".join(f"    {text[at:at + 4000]!r},\n" for at in range(0, len(text), 4000)) + "]\n"
    cheat = """def decode(chunks, info, model):
    import base64, io
    kept = io.BytesIO(zlib.decompress(base64.b85decode("".join(KEPT))))
    size = sum(-(-rows // 2) * -(-columns // 2) for rows, columns in info.video.plane_shapes)
"""
    decoding = source + DECODING.replace("def decode(chunks, info, model):\n", cheat).replace(
        "zlib.decompress(chunk.data)", "kept.read(size)")
    files = {ENCODING_AGENT: ENCODING.replace("zlib.compress(planes, 9)", "b'x'"), DECODING_AGENT: decoding}
    smuggled = bench.run(files)
    scores = scores_of(smuggled)
    assert value(scores, "psnr_y_db") == value(honest, "psnr_y_db"), "the trick itself works"
    assert value(scores, "model_mb") * 1e6 > len(text)
    assert value(scores, "amortised_mbps") > value(scores, "bitrate_mbps")
    gains_nowhere_else(bench, explored, confirmed, files, smuggled)


@pytest.mark.ci
def test_a_clip_in_its_weights_is_counted_frozen_before_it_is_shown_and_of_no_use_on_other_footage(
        bench: Bench, explored: Experiment, honest: Scores, confirmed: Experiment) -> None:
    """Footage that it was given to learn from may lie in its weights: they are counted. What `encode` would add to them
    later, when it has seen the clip, does not reach the decoder."""
    train = """

def train(clips, info):
    from safetensors.numpy import save_file
    frames = np.stack([frame.planes[0] for frame in clips[0]])
    path = info.scratch / "weights.safetensors"
    save_file({"frames": frames, "late": np.zeros(1, np.uint8)}, path)
    return path
"""
    late = """
    from safetensors.numpy import save_file
    for place in (model, "/in/inputs/train/weights.safetensors"):
        try:
            save_file({"late": np.ones(1, np.uint8)}, place)
        except Exception:
            pass
"""
    decoding = f"""{ALL_GREY}
from safetensors.numpy import load_file


def decode(chunks, info, model):
    weights = load_file(model)
    assert not weights["late"].any()
    for index, chunk in enumerate(chunks):
        yield Frame((weights["frames"][index], *grey(info).planes[1:]))
"""
    encoding = ENCODING.replace("zlib.compress(planes, 9)", "b'x'").replace(
        "def encode(frames, info, model):\n", f"def encode(frames, info, model):\n{late}") + train
    files = {ENCODING_AGENT: encoding, DECODING_AGENT: decoding}
    smuggled = bench.run(files, trained=True)
    scores = scores_of(smuggled)
    assert value(scores, "psnr_y_db") > value(honest, "psnr_y_db"), "the trick itself works"
    assert value(scores, "model_mb") * 1e6 > 4 * 160 * 90
    assert value(scores, "amortised_mbps") > value(scores, "bitrate_mbps")
    gains_nowhere_else(bench, explored, confirmed, files, smuggled, trained=True)
