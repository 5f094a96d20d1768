from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_workers.codec.decoder import varint


def reader(data: bytes) -> Iterator[int]:
    return iter(data)


@given(st.integers(0, 2**64 - 1))
def test_a_number_comes_back(value: int) -> None:
    assert varint.read(reader(varint.encode(value)).__next__) == value


@given(st.integers(-(2**62), 2**62))
def test_a_signed_number_comes_back(value: int) -> None:
    assert varint.unzigzag(varint.zigzag(value)) == value


def test_small_magnitudes_take_one_byte() -> None:
    assert all(len(varint.encode(varint.zigzag(value))) == 1 for value in range(-64, 64))


@pytest.mark.parametrize("data", [b"\xff" * 20, b"\xff" * 9 + b"\x7f"])
def test_a_number_of_more_than_64_bits_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        varint.read(reader(data).__next__)


def test_a_number_that_no_varint_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="varint"):
        varint.encode(-1)
