"""A decoder in its box: the frames of a plain one, timed alike, and an end for those that would not end."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_workers.codec.encoding import encode_stream
from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.measure import processes
from gpu_workers.codec.measure.decoder_side import DecoderSide
from gpu_workers.codec.measure.timing import DecoderFailed, started, time_decoding, warm
from gpu_workers.codec.video import FrameReader
from support.boxes import need_sandbox
from support.footage import cut

CLASSIC = as_people_run("svtav1", svtav1_crf=45.0, svtav1_preset=12)
GREY = "Frame(tuple(np.full(shape, 128, np.uint8) for shape in info.video.plane_shapes))"
AGENT = f"""
import os, time
import numpy as np
from aether_kit import Frame


def decode(chunks, info, model):
    for chunk in chunks:
        pass
    {{before}}
    for _ in range(info.video.frames):
        yield {GREY}
    {{after}}
"""
SHARED = """import mmap
    held = [mmap.mmap(-1, 8 << 20) for _ in range(100)]
    [block.write(b"x" * len(block)) for block in held]
    time.sleep(60)"""
BOXED = DecoderSide(box_mb=1024)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> FrameReader:
    return FrameReader(cut("flower_720p30", 6, tmp_path_factory.mktemp("clip"), "scale=160:90"))


@pytest.fixture(scope="module")
def stream(clip: FrameReader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_sandbox()
    target = tmp_path_factory.mktemp("stream") / "clip.aec"
    encode_stream(clip, target, "classic", CLASSIC, 0, 1)
    return target


def agent(folder: Path, before: str = "pass", after: str = "pass") -> DecoderSide:
    """A candidate's decoder, which announces itself as the family `classic`."""
    path = folder / "decoding_agent.py"
    path.write_text(AGENT.format(before=before, after=after))
    return DecoderSide(agent=("classic", path), box_mb=256)


def decoded(side: DecoderSide, stream: Path, clip: FrameReader) -> list[bytes]:
    with started(1, side) as decoder:
        decoder.deliver(stream)
        return [frame.to_bytes() for frame in decoder.frames(clip.info)]


def test_a_box_gives_the_frames_of_a_plain_process(stream: Path, clip: FrameReader) -> None:
    plain = decoded(DecoderSide(), stream, clip)
    assert decoded(BOXED, stream, clip) == plain
    assert len(plain) == 6


def test_it_is_timed_by_the_kernel_as_a_plain_one_is(stream: Path, clip: FrameReader) -> None:
    """Of the making of the box nothing counts as decoding: that took longer than these six frames do."""
    found = {}
    for name, side in (("plain", DecoderSide()), ("boxed", BOXED)):
        with warm(1, 3, side) as decoders:
            found[name] = time_decoding(decoders, stream, clip.info)[0]
    assert 0 < found["boxed"].decode_cpu_s < 3 * found["plain"].decode_cpu_s + 0.02


@pytest.mark.parametrize(("before", "after", "reason", "words"), [
    ("held = [bytearray(b'x' * (8 << 20)) for _ in range(100)]", "pass", "bad_output", "MemoryError"),
    (SHARED, "pass", "memory", "MB of 256 MB in use"),
    ("os._exit(0)", "pass", "bad_output", "the frames ended after 0 of 6"),
    ("pass", "os.write(1, b'more')", "bad_output", "more bytes came"),
])
def test_a_decoder_that_takes_too_much_or_gives_too_little_fails(
        stream: Path, clip: FrameReader, tmp_path: Path, before: str, after: str, reason: str, words: str) -> None:
    with pytest.raises(DecoderFailed, match=words) as failed:
        decoded(agent(tmp_path, before, after), stream, clip)
    assert failed.value.reason == reason


def test_one_that_stays_when_its_frames_are_read_is_ended(
        stream: Path, clip: FrameReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LINGER_S", 0.3)
    stays = agent(tmp_path, after="import sys; sys.stdout.buffer.flush(); time.sleep(600)")
    with warm(1, 1, stays) as decoders, pytest.raises(DecoderFailed, match="did not end after its frames") as failed:
        time_decoding(decoders, stream, clip.info)
    assert failed.value.reason == "timeout"
