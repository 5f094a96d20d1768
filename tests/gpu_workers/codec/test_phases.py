"""A codec experiment from clip to scores, with real encoders, decoders and processes."""

from __future__ import annotations

import fcntl
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from gpu_workers.codec.encoding import encode_stream
from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.frames import VideoInfo
from gpu_workers.codec.measure.decoder_side import DecoderSide
from gpu_workers.codec.measure.quality import compare
from gpu_workers.codec.measure.spots import Spots
from gpu_workers.codec.measure.timing import DecoderFailed, started, time_decoding, warm
from gpu_workers.codec.measuring import measure
from gpu_workers.codec.spec import TRACK
from gpu_workers.codec.thumbnails import thumbnail
from gpu_workers.codec.transcode import decode_file
from gpu_workers.codec.video import FrameReader
from gpu_workers.collect import collect
from gpu_workers.machine import MachineLock
from gpu_workers.phase import BoundClip, Failure, PhaseRequest, run_phase_file
from gpu_workers.runner import PhaseEnd, ProcessRunner
from lab.experiment import Scores, Spec
from lab.space import Value
from lab.track import Phase
from support.footage import cut

SVTAV1 = as_people_run("svtav1", svtav1_crf=45.0, svtav1_preset=12)
SPEC = Spec(track="codec", family="classic", params=SVTAV1, clips="c" * 64, seed=0, protocol=1)


@dataclass
class Bench:
    """One experiment's folder, and its phases in order."""

    folder: Path
    clips: tuple[BoundClip, ...]

    def request(self, name: str, params: dict[str, Value] = SVTAV1, timed: bool = False) -> PhaseRequest:
        spec = msgspec.structs.replace(SPEC, params=params)
        phase = phase_named(name)
        (self.folder / name).mkdir()
        inputs = {name: str(self.folder / name) for name in phase.inputs if not name.startswith("clips:")}
        return PhaseRequest(entry=phase.entry, spec=spec, clips=self.clips, inputs=inputs, timed=timed,
                            out=str(self.folder / name), machine_lock=str(self.folder / "machine"))

    def run(self, name: str, params: dict[str, Value] = SVTAV1, timed: bool = False) -> Failure | None:
        """In this process; the runner's own tests show that a process of its own does the same."""
        path = self.folder / f"{name}.json"
        path.write_bytes(msgspec.json.encode(self.request(name, params, timed)))
        code = run_phase_file(path)
        if code == 0:
            collect(self.folder / name, phase_named(name).outputs, 1 << 26)
            return None
        assert code == 3, "a crash is no answer"
        return msgspec.json.decode((self.folder / name / "failure.json").read_bytes(), type=Failure)

    def run_apart(self, name: str) -> PhaseEnd:
        running = ProcessRunner().start(self.request(name), 120, 4096)
        while (end := running.poll()) is None:
            time.sleep(0.01)
        return end

    def scores(self) -> Scores:
        return msgspec.json.decode((self.folder / "score" / "scores.json").read_bytes(), type=Scores)


def phase_named(name: str) -> Phase:
    return next(one for one in TRACK.phases(SPEC) if one.name == name)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, (bound(cut("drive_1080p30", 8, tmp_path, "scale=160:90"), "drive"),))


def bound(path: Path, name: str, role: str = "score") -> BoundClip:
    return BoundClip(name=name, hash="0" * 64, role=role, path=str(path), facts=TRACK.facts(path))


def test_a_clip_becomes_scores_that_say_what_a_second_measurement_says(bench: Bench, tmp_path: Path) -> None:
    assert bench.run("encode", timed=True) is None
    assert bench.run("score") is None
    scores, stream = bench.scores(), tmp_path / "encode" / "streams" / "drive.aec"
    decode_file(stream, tmp_path / "decoded.mkv")
    again = compare(bench.clips[0].path, tmp_path / "decoded.mkv")
    for metric in ("psnr_y_db", "psnr_u_db", "psnr_yuv611_db", "ssim", "vmaf", "vmaf_neg"):
        assert scores.mean[metric] == pytest.approx(again.mean[metric], abs=1e-9), metric
    assert scores.mean["bitrate_mbps"] == pytest.approx(stream.stat().st_size * 8 / (8 / 30) / 1e6)
    assert scores.mean["amortised_mbps"] == scores.mean["bitrate_mbps"]
    assert scores.mean["model_mb"] == 0
    for metric in ("encode_fps", "encode_cpu_s", "decode_fps", "decode_ms", "decode_cpu_s", "decode_peak_mb"):
        value = scores.mean[metric]
        assert value is not None, metric
        assert value > 0, metric
    assert scores.mean["decode_fps"] == pytest.approx(1000 / (scores.mean["decode_ms"] or 0))
    assert scores.mean.keys() == {metric.name for metric in TRACK.metrics if not metric.derived}
    assert all(name in scores.why for name, value in scores.mean.items() if value is None)
    assert scores.device_class.startswith("cpu:")


def test_in_processes_of_their_own_the_phases_give_the_same_numbers(bench: Bench, tmp_path: Path) -> None:
    bench.run("encode")
    bench.run("score")
    (tmp_path / "again").mkdir()
    again = Bench(tmp_path / "again", bench.clips)
    for phase in ("encode", "score"):
        end = again.run_apart(phase)
        assert end.reason is None, (end.detail, end.log)
    repeatable = [metric.name for metric in TRACK.metrics if metric.deterministic and not metric.derived]
    first, second = bench.scores(), again.scores()
    assert [first.mean[name] for name in repeatable] == [second.mean[name] for name in repeatable]
    for artefact in first.artefacts:
        assert (tmp_path / "score" / artefact).read_bytes() == (tmp_path / "again" / "score" / artefact).read_bytes()


def test_an_evaluation_leaves_what_tells_why(bench: Bench, tmp_path: Path) -> None:
    bench.run("encode")
    bench.run("score")
    scores = bench.scores()
    frames = msgspec.json.decode((tmp_path / "score" / "frames.json").read_bytes())["drive"]
    assert len(frames["psnr_y_db"]) == len(frames["bytes"]) == len(frames["ssim"]) == 8
    worst = int(np.argmin(frames["psnr_y_db"]))
    assert frames["worst_frames"][0] == worst == scores.clips["drive"]["worst_frame"]
    assert sum(frames["bytes"]) < (tmp_path / "encode" / "streams" / "drive.aec").stat().st_size
    pictures = [f"{which}-{side}" for which in ("middle", "worst") for side in ("original", "decoded")]
    names = {f"thumbnails/drive-{picture}.webp" for picture in pictures}
    assert scores.artefacts.keys() == names | {"frames.json"}
    for name in names:
        path = tmp_path / "score" / name
        assert path.stat().st_size <= 60_000
        assert Image.open(path).size == (160, 90)


def test_encoding_that_shares_the_machine_has_no_speed_to_tell(bench: Bench) -> None:
    bench.run("encode")
    bench.run("score")
    scores = bench.scores()
    assert scores.mean["encode_fps"] is None
    assert scores.why["encode_fps"] == "not timed: only confirmations encode with the machine to themselves"
    assert (scores.mean["encode_cpu_s"] or 0) > 0


def test_decoding_is_timed_only_when_nobody_else_uses_the_machine(bench: Bench, tmp_path: Path) -> None:
    bench.run("encode")
    with MachineLock(tmp_path / "machine").shared():
        running = ProcessRunner().start(bench.request("score"), 120, 4096)
        notes: list[object] = []
        while not _waits(tmp_path / "machine.gate"):
            assert running.poll() is None
            notes += [claim.get("note") for claim in running.progress()]
            time.sleep(0.02)
        assert "timing the decoder" not in notes
        assert running.poll() is None
    while (end := running.poll()) is None:
        time.sleep(0.01)
    assert end.reason is None
    assert "timing the decoder" in [claim.get("note") for claim in running.progress()]


def test_the_same_parameters_give_the_same_numbers_whatever_the_threads(bench: Bench, tmp_path: Path) -> None:
    streams = []
    for threads in (1, 2):
        target = tmp_path / f"{threads}.aec"
        encode_stream(FrameReader(bench.clips[0].path), target, "classic", SVTAV1, 0, threads)
        streams.append(target.read_bytes())
    assert streams[0] == streams[1]


@pytest.mark.parametrize(("damage", "words"), [
    (lambda data: data[: len(data) // 2], "cut"),
    (lambda data: data[:200] + bytes([data[200] ^ 255]) + data[201:], "damaged"),
    (lambda data: b"", "no .aec"),
])
def test_a_bad_stream_is_the_candidates_fault(bench: Bench, tmp_path: Path, damage: object, words: str) -> None:
    bench.run("encode")
    path = tmp_path / "encode" / "streams" / "drive.aec"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    failure = bench.run("score")
    assert failure is not None
    assert failure.reason == "bad_output"
    assert words in failure.detail
    assert not (tmp_path / "score" / "scores.json").exists()


def test_frames_of_another_clip_do_not_pass_for_these(bench: Bench, tmp_path: Path) -> None:
    bench.run("encode")
    shorter = FrameReader(cut("drive_1080p30", 7, tmp_path, "scale=160:90"))
    encode_stream(shorter, tmp_path / "encode" / "streams" / "drive.aec", "classic", SVTAV1, 0, 1)
    failure = bench.run("score")
    assert failure is not None
    assert failure.reason == "bad_output"
    assert "after 7 of 8" in failure.detail


def test_parameters_outside_the_space_are_refused_with_the_name(bench: Bench) -> None:
    failure = bench.run("encode", {**SVTAV1, "svtav1_crf": 500.0})
    assert failure is not None
    assert failure.reason == "refused"
    assert "svtav1_crf" in failure.detail


def test_what_encode_says_of_itself_is_not_trusted_to_be_readable(bench: Bench, tmp_path: Path) -> None:
    bench.run("encode")
    for said in (b"{", b"{}", b'{"drive": {"frames": "many"}}', b'{"\xf6": 1}', b"[" * 9999):
        (tmp_path / "encode" / "encode.json").write_bytes(said)
        failure = bench.run("score")
        assert failure is not None
        assert failure.reason == "bad_output"
        shutil.rmtree(tmp_path / "score")


def test_a_stream_that_the_encoder_did_not_leave_is_its_own_failure(bench: Bench, tmp_path: Path) -> None:
    bench.run("encode")
    (tmp_path / "encode" / "streams" / "drive.aec").rename(tmp_path / "encode" / "streams" / "other.aec")
    failure = bench.run("score")
    assert failure == Failure(reason="bad_output", detail="drive: the encoder left no streams/drive.aec")


def test_a_clip_that_cannot_be_read_is_the_harness_fault(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    clip = BoundClip(name="broken", hash="0" * 64, role="score", path=str(broken))
    failure = Bench(tmp_path, (clip,)).run("encode")
    assert failure is not None
    assert failure.reason == "harness_fault"


def test_training_clips_are_never_coded(bench: Bench, tmp_path: Path) -> None:
    train = bound(Path(bench.clips[0].path), "train", role="train")
    assert Bench(tmp_path, (train, *bench.clips)).run("encode") is None
    assert [path.name for path in (tmp_path / "encode" / "streams").iterdir()] == ["drive.aec"]


def test_a_decoder_is_timed_over_whole_decodes_and_gives_the_frames_asked_for(bench: Bench, tmp_path: Path) -> None:
    frames = FrameReader(bench.clips[0].path)
    encode_stream(frames, tmp_path / "a.aec", "classic", SVTAV1, 0, 1)
    with warm(1) as decoders:
        timing, kept = time_decoding(decoders, tmp_path / "a.aec", frames.info, frozenset({0, 5}))
    with started(1) as decoder:
        decoder.deliver(tmp_path / "a.aec")
        decoded = list(decoder.frames(frames.info))
    assert kept.keys() == {0, 5}
    assert all(kept[number].to_bytes() == decoded[number].to_bytes() for number in kept)
    assert timing.decode_fps * timing.decode_ms == pytest.approx(1000)
    assert 0 < timing.decode_cpu_s < 10
    assert 20 < decoder.peak_mb < 1000


def test_a_decoder_that_gives_other_frames_when_it_is_timed_fails(bench: Bench, tmp_path: Path) -> None:
    """It can tell by how fast they are taken, and would be quick with bad ones."""
    frames = FrameReader(bench.clips[0].path)
    for name, crf in (("good", 30.0), ("bad", 60.0)):
        encode_stream(frames, tmp_path / f"{name}.aec", "classic", {**SVTAV1, "svtav1_crf": crf}, 0, 1)
    spots = measure(frames, tmp_path / "good.aec", 1, lambda done: None).spots
    with warm(1, 1) as decoders:
        time_decoding(decoders, tmp_path / "good.aec", frames.info, spots=spots)
    with warm(1, 1) as decoders, pytest.raises(DecoderFailed, match="not the one that was measured"):
        time_decoding(decoders, tmp_path / "bad.aec", frames.info, spots=spots)


def test_frames_of_floats_may_round_another_way_now_and_then_and_no_more() -> None:
    info = VideoInfo(width=64, height=64, fps_num=25, fps_den=1, frames=8, pix_fmt="gray")
    spots, plain = Spots(info), bytes([7]) * info.frame_bytes
    for _ in range(info.frames):
        spots.keep(plain)
    same = [spots.of(plain) for _ in range(info.frames)]
    assert spots.first_other(same) is None
    for change, number in ((1, None), (2, 5)):
        rounded = [samples.copy() for samples in same]
        rounded[5][3] += change
        assert spots.first_other(rounded) == number
    assert spots.first_other([samples + (at >= 6) for at, samples in enumerate(same)]) == 6


def test_a_decoder_that_says_too_much_is_heard_to_its_end_and_its_last_words_are_kept(tmp_path: Path) -> None:
    class Chatty(DecoderSide):
        def command(self, threads: int, ready: int) -> list[str]:
            program = f"import os; os.write({ready}, b'ready\\n'); os.write(2, b'x' * 10_000_000); os.write(2, b'y\\n')"
            return [sys.executable, "-c", f"{program}; os._exit(1)"]
    with started(1, Chatty()) as decoder, pytest.raises(DecoderFailed, match=r"^x+y$") as failed:
        decoder.finish()
    assert len(str(failed.value)) < 4096


def test_a_decoder_that_fails_says_its_last_words(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "no.aec").write_bytes(b"not a stream")
    info = FrameReader(bench.clips[0].path).info
    with started(1) as decoder:
        decoder.deliver(tmp_path / "no.aec")
        with pytest.raises(DecoderFailed, match=r"no \.aec stream"):
            list(decoder.frames(info))


@pytest.mark.parametrize("filters", ["scale=1280:-2,format=yuv420p10le", "scale=37:21,format=yuv444p", "format=gray"])
def test_thumbnails_of_every_format_fit(tmp_path: Path, filters: str) -> None:
    frames = FrameReader(cut("flower_720p30", 1, tmp_path, filters))
    data = thumbnail(frames[0], frames.info)
    (tmp_path / "a.webp").write_bytes(data)
    assert len(data) <= 60_000
    assert Image.open(tmp_path / "a.webp").size[0] == min(640, frames.info.width)


def _waits(gate: Path) -> bool:
    """Whether somebody stands in the gate: sharers pass it in no time."""
    with open(gate, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.2)
            return True
    return False
