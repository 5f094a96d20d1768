"""Whole numbers to bytes and back by integer tables, and what damaged bytes can do: nothing but other symbols."""

from __future__ import annotations

import random
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("constriction", reason="needs the learned extra: requirements/sync learned")

from gpu_workers.codec.decoder.entropy import MOST_VALUE, Part, Table, Unpacker, pack
from gpu_workers.codec.decoder.errors import BadStream

pytestmark = pytest.mark.ci
TABLES = (Table(-1, np.array([1, 1 << 20, 1, 1])), Table(-3, np.array([1, 5, 40, 90, 40, 5, 1, 1])),
          Table(0, np.array([3, 1, 2]), escape=False))


def drawn(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    which = rng.integers(2, size=count).astype(np.uint8)
    symbols = np.where(which == 0, rng.integers(-1, 2, count), rng.integers(-9, 10, count)).astype(np.int32)
    return which, symbols


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_what_was_packed_comes_back_part_by_part(count: int) -> None:
    which, symbols = drawn(count, count)
    fixed = Part(TABLES, np.full(7, 2, np.uint8), np.array([0, 1, 2, 2, 1, 0, 0], np.int32))
    unpacker = Unpacker(pack([fixed, Part(TABLES, which, symbols)]))
    assert unpacker.take(TABLES, fixed.which).tolist() == fixed.symbols.tolist()
    assert unpacker.take(TABLES, which).tolist() == symbols.tolist()
    unpacker.finish()


def test_symbols_that_no_table_holds_come_back_up_to_the_greatest() -> None:
    symbols = np.array([MOST_VALUE, -MOST_VALUE, 2, -2, 0], np.int32)
    which = np.zeros(5, np.uint8)
    assert Unpacker(pack([Part(TABLES, which, symbols)])).take(TABLES, which).tolist() == symbols.tolist()
    with pytest.raises(ValueError, match="beyond"):
        pack([Part(TABLES, which[:1], np.array([MOST_VALUE + 1], np.int32))])
    with pytest.raises(ValueError, match="no escape"):
        pack([Part(TABLES, np.array([2], np.uint8), np.array([5], np.int32))])


def test_a_likely_symbol_costs_what_its_probability_says() -> None:
    rng = np.random.default_rng(1)
    shares = np.array([1, 5, 40, 90, 40, 5, 1]) / 182
    symbols = (rng.choice(7, size=20_000, p=shares) - 3).astype(np.int32)
    bits = 8 * len(pack([Part(TABLES, np.ones(20_000, np.uint8), symbols)]))
    ideal = -np.log2(np.array([1, 5, 40, 90, 40, 5, 1])[symbols + 3] / 183).sum()
    assert ideal < bits < 1.005 * ideal + 128


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_give_as_many_symbols_as_were_asked_for_or_one_error(seed: int) -> None:
    rng = random.Random(seed)
    which, symbols = drawn(seed, 300)
    data = bytearray(pack([Part(TABLES, which, symbols)]))
    for _ in range(rng.randint(1, 6)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    with suppress(BadStream):
        unpacker = Unpacker(bytes(data[:rng.randint(1, len(data))]))
        assert unpacker.take(TABLES, which).shape == symbols.shape
        unpacker.finish()
