"""Whatever the bytes, decoding ends: with right-shaped frames, or with one clear error. Never a crash, never a hang."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_workers.codec.contract import Chunk, Kind
from gpu_workers.codec.decoder.container import Reader
from gpu_workers.codec.decoder.decode import Decoded
from gpu_workers.codec.decoder.errors import BadStream
from support.streams import stream, until_error

GOLDEN = sorted((Path(__file__).resolve().parents[3] / "data" / "golden").glob("*.aec"))
Mutation = Callable[[bytes, random.Random], bytes]


def flip(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def splice(data: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(data)) for _ in range(2))
    return data[:start] + rng.randbytes(rng.randrange(40)) + data[end:]


def damage_inside(data: bytes, rng: random.Random) -> bytes:
    """The container stays whole and its checksums right; what the decoder gets is damaged."""
    reader = Reader(io.BytesIO(data))
    chunks = list(reader)
    victim = rng.randrange(len(chunks))
    old = chunks[victim]
    if rng.random() < 0.3:
        del chunks[victim]
    else:
        chunks[victim] = Chunk(old.kind, old.index, flip(old.data, rng) if old.data else b"x")
    rng.shuffle(chunks) if rng.random() < 0.2 else None
    return stream(reader.header, chunks)


def attack(seed: int) -> None:
    rng = random.Random(seed)
    mutation: Mutation = rng.choice([flip, cut, splice, damage_inside, damage_inside])
    damaged = mutation(rng.choice(GOLDEN).read_bytes(), rng)
    try:
        decoding = Decoded(io.BytesIO(damaged))
    except BadStream as damaged_header:
        assert_one_line(damaged_header)
        return
    frames, error = until_error(decoding)
    assert all(tuple(p.shape for p in frame.planes) == decoding.info.plane_shapes for frame in frames)
    if error is None:
        assert len(frames) == decoding.info.frames
    else:
        assert_one_line(error)


def assert_one_line(error: BadStream) -> None:
    assert str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_stream_ends_in_right_shaped_frames_or_one_clear_error(seed: int) -> None:
    attack(seed)


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(30, 130))
def test_a_hundred_more_damaged_streams_do_too(seed: int) -> None:
    attack(seed)


def test_frames_before_the_damage_are_given() -> None:
    data = bytearray(next(path for path in GOLDEN if path.stem == "svtav1").read_bytes())
    reader = Reader(io.BytesIO(bytes(data)))
    sizes = [len(chunk.data) for chunk in reader if chunk.kind in (Kind.KEY, Kind.DELTA)]
    data[-40 - sizes[-1] // 2] ^= 0xFF
    frames, error = until_error(Decoded(io.BytesIO(bytes(data))))
    assert frames
    assert error is not None
