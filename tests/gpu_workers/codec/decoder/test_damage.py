"""Whatever the bytes, decoding ends: with right-shaped frames, or with one clear error. Never a crash, never a hang."""

import io
import random

import pytest

from gpu_workers.codec.contract import Kind
from gpu_workers.codec.decoder.container import Reader
from gpu_workers.codec.decoder.decode import Decoded
from gpu_workers.codec.decoder.errors import BadStream
from support.damage import FAMILIES, Ending, damaged, serving
from support.streams import until_error

GOLDEN = sorted(FAMILIES["classic"].glob("*.aec"))


def attack(seed: int) -> None:
    rng = random.Random(seed)
    data = damaged(rng.choice(GOLDEN).read_bytes(), rng)
    try:
        decoding = Decoded(io.BytesIO(data))
    except BadStream as damaged_header:
        assert_one_line(damaged_header)
        return
    frames, error = until_error(decoding)
    assert all(tuple(p.shape for p in frame.planes) == decoding.info.plane_shapes for frame in frames)
    if error is None:
        assert decoding.info.frames in (0, len(frames))
    else:
        assert_one_line(error)


def assert_one_line(error: BadStream) -> None:
    assert str(error)
    assert "\n" not in str(error)


def attack_family(name: str, first: int, count: int) -> dict[str, int]:
    """Raises at the first ending that is none of those promised; how often each kind of ending came."""
    folder, seen = FAMILIES[name], {"frames": 0, "error": 0}
    streams, models = sorted(folder.glob("*.aec")), sorted(folder.glob("*.safetensors"))
    assert streams
    with serving(models) as server:
        for path in streams:
            whole = server.decode(path.read_bytes())
            assert (whole.error, whole.frames) == (None, whole.announced), "the server decodes what is whole"
        for seed in range(first, first + count):
            rng = random.Random(seed)
            ending: Ending = server.decode(damaged(rng.choice(streams).read_bytes(), rng))
            assert not ending.problems(), f"{name}, seed {seed}: {'; '.join(ending.problems())}"
            seen["frames" if ending.error is None else "error"] += 1
    return seen


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_stream_ends_in_right_shaped_frames_or_one_clear_error(seed: int) -> None:
    attack(seed)


@pytest.mark.ci
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_hundred_damaged_streams_of_each_family_end_well_under_limits(name: str) -> None:
    seen = attack_family(name, 0, 100)
    assert seen["error"] > 30, "most damage is noticed"


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_thousand_damaged_streams_of_each_family_end_well_under_limits(name: str) -> None:
    print(name, attack_family(name, 1000, 1000), flush=True)


def test_frames_before_the_damage_are_given() -> None:
    data = bytearray(next(path for path in GOLDEN if path.stem == "svtav1").read_bytes())
    reader = Reader(io.BytesIO(bytes(data)))
    sizes = [len(chunk.data) for chunk in reader if chunk.kind in (Kind.KEY, Kind.DELTA)]
    data[-40 - sizes[-1] // 2] ^= 0xFF
    frames, error = until_error(Decoded(io.BytesIO(bytes(data))))
    assert frames
    assert error is not None
