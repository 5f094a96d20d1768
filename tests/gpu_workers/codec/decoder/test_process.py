"""`python -m gpu_workers.codec.decoder`, as the harness runs it: ready first, then bytes in, frames out."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpu_workers.codec.contract import Chunk, Kind
from support.streams import QUICK, crop, decoded, encoded, header_of, planar, stream

CLIP = crop("walk_480p30", 12, 160, 96)
COMMAND = [sys.executable, "-m", "gpu_workers.codec.decoder"]


def run(data: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *options], input=data, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("encoder", ["x265", "svtav1", "vvenc"])
def test_one_stream_in_exactly_its_frames_out(encoder: str) -> None:
    data = encoded(CLIP, QUICK[encoder])
    done = run(data)
    assert done.returncode == 0
    assert done.stderr == b"ready\n"
    assert len(done.stdout) == CLIP.info.frame_bytes * len(CLIP)
    assert done.stdout == planar(decoded(data))


def test_it_says_ready_on_the_descriptor_it_was_given_before_any_byte_came() -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen([*COMMAND, "--ready-fd", str(writing)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               pass_fds=[writing])  # fmt: skip
    os.close(writing)
    with os.fdopen(reading, "rb") as ready:
        assert ready.readline() == b"ready\n"
    output, _ = process.communicate(encoded(CLIP, QUICK["svtav1"]), timeout=60)
    assert len(output) == CLIP.info.frame_bytes * len(CLIP)
    assert process.returncode == 0


def test_a_cut_stream_ends_with_code_2_one_line_and_the_frames_before_the_cut() -> None:
    data = encoded(CLIP, QUICK["svtav1"])
    done = run(data[: len(data) * 3 // 4])
    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[1].startswith("error: the stream is cut")
    assert done.stdout
    assert len(done.stdout) % CLIP.info.frame_bytes == 0


def test_an_agent_from_outside_decodes_with_the_model_that_the_stream_names(tmp_path: Path) -> None:
    agent, model = tmp_path / "decoding_agent.py", tmp_path / "weights.bin"
    model.write_bytes(b"\x40")
    agent.write_text(
        "import numpy as np\nfrom gpu_workers.codec.frames import Frame\n"
        "def decode(chunks, info, model):\n"
        "    for chunk in chunks:\n"
        "        value = chunk.data[0] + model.read_bytes()[0]\n"
        "        yield Frame(tuple(np.full(s, value, info.video.dtype) for s in info.video.plane_shapes))\n"
    )
    header = header_of(CLIP.info, "flat", hashlib.sha256(b"\x40").hexdigest())
    data = stream(header, [Chunk(Kind.KEY, index, bytes([index])) for index in range(12)])
    done = run(data, "--agent", f"flat={agent}", "--model", str(model))
    assert done.returncode == 0, done.stderr
    assert done.stdout[-1] == 0x40 + 11
    assert len(done.stdout) == CLIP.info.frame_bytes * 12
