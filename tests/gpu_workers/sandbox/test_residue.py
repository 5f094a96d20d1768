"""What one box leaves in the state of the machine's memory, and that the next can read none of it."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from random import Random

import pytest

from gpu_workers.codec.measure.decoder_side import DecoderSide
from gpu_workers.sandbox import residue
from gpu_workers.sandbox.box import SandboxFault
from gpu_workers.sandbox.residue import settle_files
from support.attacks import STRIDE_BYTES
from support.boxes import attack

BITS = 200


def received(tmp_path: Path, settled: bool) -> int:
    """How many of the bits that one box sent another understood, if it may choose between late and early as it likes.

    The library is out of memory at first, as one is that nobody has used for long.
    """
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    sent = "".join(Random(seed).choice("01") for _ in range(BITS))
    library = tmp_path / f"library-{settled}"
    with library.open("wb") as file:
        file.write(os.urandom(BITS * STRIDE_BYTES))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    inputs = {"library": str(library)}
    assert attack("touch_pages", tmp_path / f"sender-{settled}", {"bits": sent}, inputs=inputs).end.reason is None
    if settled:
        settle_files([library])
    told = attack("time_pages", tmp_path / f"receiver-{settled}", inputs=inputs).told
    times = json.loads(told["times"])
    border = statistics.median(times) if settled else 20_000  # a page from the disk takes longer than 20 µs
    guessed = "".join("1" if time < border else "0" for time in times)
    return sum(one == other for one, other in zip(sent, guessed, strict=True))


def test_bits_that_encoding_leaves_in_the_page_cache_arrive_nowhere(tmp_path: Path) -> None:
    """Without the cure nearly all arrive, so that the test can tell; with it as many as by tossing a coin."""
    assert received(tmp_path, settled=False) > 0.9 * BITS
    assert abs(received(tmp_path, settled=True) - BITS / 2) < 4 * BITS ** 0.5 / 2 + 1


def test_every_file_that_a_decoder_from_outside_can_read_is_brought_in(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a machine made small: Python's own library, our packages, the agent, and nothing of the encoder's side."""
    agent = tmp_path / "decoding_agent.py"
    agent.write_text("def decode(chunks, info, model):\n    pass\n")
    seen = list[Path]()
    monkeypatch.setattr(residue, "_bring_in", lambda path: seen.append(path) or 0)
    DecoderSide(agent=("candidate", agent), box_mb=512).settle()
    names = {str(path) for path in seen}
    assert str(agent) in names
    assert any(name.endswith("/numpy/__init__.py") for name in names)
    assert any(name.endswith("/gpu_workers/codec/decoder/container.py") for name in names)
    assert any("/libc.so.6" in name for name in names)
    assert not any("/gpu_workers/codec/families/" in name or "/site-packages/botocore/" in name for name in names)


def test_what_is_ours_needs_no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residue, "_bring_in", lambda path: pytest.fail("it read a file"))
    DecoderSide(box_mb=512).settle()


def test_more_than_memory_can_hold_is_said_and_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    monkeypatch.setattr(residue, "MEMORY_SHARE", 1e-9)
    with pytest.raises(SandboxFault, match="half of this machine's memory"):
        settle_files([tmp_path / "large"])
