"""The filter of the family `restore`: its bytes, its arithmetic, and the planes that it works on."""

import os
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.decoder.restore_filter import (
    HALO,
    LAYERS,
    MIDDLE,
    MOST_BIAS,
    MOST_CHANNELS,
    MOST_SHIFT,
    MOST_WEIGHT,
    TOP,
    Filter,
    Layer,
    from_half,
    network,
    restored,
    shapes,
    table,
    to_half,
)
from support.restoring import random_filter

DIGEST = """
import hashlib, sys
import numpy as np, torch
from gpu_workers.codec.decoder.restore_filter import network, restored
from support.restoring import random_filter
torch.set_num_threads(int(sys.argv[1]))
planes = np.random.default_rng(5).integers(-512, 512, (6, 150, 77)).astype(np.int16)
frames = [restored(network(random_filter(channels, 1)), planes) for channels in (1, 8, 16, 32)]
print(hashlib.sha256(b"".join(frame.tobytes() for frame in frames)).hexdigest())
"""


def by_hand(filter_: Filter, planes: np.ndarray) -> np.ndarray:
    """The same in numpy's 64 bit integers, straight from the definition."""
    x = np.pad(planes.astype(np.int64), ((0, 0), (HALO, HALO), (HALO, HALO)), mode="edge")
    for place, layer in enumerate(filter_.layers):
        rows, columns = x.shape[1] - 2, x.shape[2] - 2
        sums = sum(np.einsum("oi,irc->orc", layer.weights[:, :, row, column].astype(np.int64),
                             x[:, row:row + rows, column:column + columns]) for row in range(3) for column in range(3))
        eighths = layer.bias.astype(np.int64)[:, None, None]
        scaled = eighths << layer.shift - 3 if layer.shift >= 3 else eighths >> 3 - layer.shift
        x = sums + scaled + (1 << layer.shift >> 1) >> layer.shift
        x = np.clip(x, -TOP if place == LAYERS - 1 else 0, TOP)
    return np.clip(planes + x, -MIDDLE, TOP - MIDDLE)


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([0.0, 0.4, 3.0, 100.0]))
    layers = []
    for inputs, outputs in shapes(draw(st.integers(1, MOST_CHANNELS))):
        weights = np.clip(np.rint(rng.laplace(0, spread, (outputs, inputs, 3, 3))), -MOST_WEIGHT, MOST_WEIGHT)
        bias = rng.integers(-MOST_BIAS, MOST_BIAS + 1, outputs)
        layers.append(Layer(weights.astype(np.int32), bias.astype(np.int32), draw(st.integers(0, MOST_SHIFT))))
    return Filter(tuple(layers))


def same(a: Filter, b: Filter) -> bool:
    return all(x.shift == y.shift and np.array_equal(x.weights, y.weights) and np.array_equal(x.bias, y.bias)
               for x, y in zip(a.layers, b.layers, strict=True))  # fmt: skip


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2), (2, 1), (3, 5), (4, 6), (7, 2)])
def test_planes_taken_apart_come_together_again(rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows)
    chroma = (-(-rows // 2), -(-columns // 2))
    planes = tuple(rng.integers(0, 1024, shape).astype(np.uint16) for shape in ((rows, columns), chroma, chroma))
    half = to_half(planes)
    assert half.shape == (6, *chroma)
    assert all(np.array_equal(a, b) for a, b in zip(planes, from_half(half, rows, columns), strict=True))


@given(st.integers(0, 255), st.integers(0, 255))
def test_every_table_that_bytes_can_name_has_whole_numbers_for_every_weight(decay: int, peak: int) -> None:
    probabilities = table(decay, peak)
    assert len(probabilities) == 2 * MOST_WEIGHT + 1
    assert probabilities.min() >= 1
    assert probabilities.max() < 1 << 24
    assert np.array_equal(probabilities, np.floor(probabilities))


@pytest.mark.ci
@given(filters())
def test_a_filter_comes_back_from_its_bytes(filter_: Filter) -> None:
    data = filter_.to_bytes()
    assert same(Filter.from_bytes(data), filter_)
    assert filter_.to_bytes() == data


@pytest.mark.ci
def test_a_filter_takes_about_the_bytes_that_its_weights_hold_information() -> None:
    rng = np.random.default_rng(2)
    layers = [Layer(np.clip(np.rint(rng.laplace(0, 2, (o, i, 3, 3))), -31, 31).astype(np.int32),
                    np.zeros(o, np.int32), 6) for i, o in shapes(16)]  # fmt: skip
    counts = [np.bincount(layer.weights.reshape(-1) + MOST_WEIGHT) for layer in layers]
    ideal = sum(float(-(n[n > 0] * np.log2(n[n > 0] / n.sum())).sum()) for n in counts) / 8
    assert len(Filter(tuple(layers)).to_bytes()) < 1.03 * ideal + 80


@pytest.mark.ci
@pytest.mark.parametrize("change", [
    lambda data: b"", lambda data: data[:1], lambda data: bytes([0]) + data[1:], lambda data: bytes([33]) + data[1:],
    lambda data: data[:1] + bytes([MOST_SHIFT + 1]) + data[2:], lambda data: data[:-1], lambda data: data[:-4],
    lambda data: data + bytes(4), lambda data: data + b"\1\0\0\0", lambda data: data[:20],
])  # fmt: skip
def test_bytes_that_no_filter_has_are_refused(change) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadStream, match="damaged"):
        Filter.from_bytes(change(random_filter(8, 3).to_bytes()))


@pytest.mark.ci
@pytest.mark.parametrize("channels", [1, 8, 32])
@pytest.mark.parametrize("shift", [0, 2, 9, MOST_SHIFT])
def test_the_network_is_exact_whatever_its_weights(channels: int, shift: int) -> None:
    rng = np.random.default_rng(channels)
    planes = rng.integers(-MIDDLE, TOP - MIDDLE + 1, (6, 13, 9)).astype(np.int16)
    for filter_ in (random_filter(channels, shift, shift=shift), random_filter(channels, shift, 1, shift)):
        assert np.array_equal(restored(network(filter_), planes), by_hand(filter_, planes))


@pytest.mark.ci
def test_the_largest_sums_are_still_exact() -> None:
    layers = [Layer(np.full((o, i, 3, 3), MOST_WEIGHT, np.int32), np.full(o, MOST_BIAS, np.int32), MOST_SHIFT)
              for i, o in shapes(MOST_CHANNELS)]  # fmt: skip
    planes = np.full((6, 6, 6), TOP - MIDDLE, np.int16)
    assert np.array_equal(restored(network(Filter(tuple(layers))), planes), by_hand(Filter(tuple(layers)), planes))


@pytest.mark.ci
def test_strips_give_what_the_whole_picture_would() -> None:
    torch = import_module("torch")
    planes = np.random.default_rng(4).integers(-512, 512, (6, 300, 20)).astype(np.int16)
    module = network(random_filter(8, 4))
    padded = np.pad(planes, ((0, 0), (HALO, HALO), (HALO, HALO)), mode="edge")
    with torch.inference_mode():
        change = module(torch.from_numpy(padded).float()[None])[0].numpy()
    assert np.array_equal(restored(module, planes), np.clip(planes + change, -MIDDLE, TOP - MIDDLE))


@pytest.mark.ci
def test_every_number_of_threads_and_every_kernel_gives_the_same_picture() -> None:
    def digest(threads: int, **environment: str) -> str:
        path = os.pathsep.join(sys.path)
        done = subprocess.run([sys.executable, "-c", DIGEST, str(threads)], capture_output=True, text=True, check=True,
                              env={**os.environ, "PYTHONPATH": path, **environment})  # fmt: skip
        return done.stdout

    found = {digest(1), digest(2), digest(3, ONEDNN_MAX_CPU_ISA="AVX2", ATEN_CPU_CAPABILITY="avx2"),
             digest(1, ONEDNN_MAX_CPU_ISA="SSE41", ATEN_CPU_CAPABILITY="default")}  # fmt: skip
    assert len(found) == 1
