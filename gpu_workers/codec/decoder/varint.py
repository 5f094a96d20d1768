"""Whole numbers in as few bytes as they need: unsigned LEB128, and zigzag for signed ones.

Reading is bounded: a number longer than 64 bits is refused, whatever the bytes say.
"""

from __future__ import annotations

from collections.abc import Callable

MAX_BYTES = 10  # 64 bits, seven at a time


def encode(value: int) -> bytes:
    """`value` ≥ 0 as LEB128."""
    if not 0 <= value < 1 << 64:
        raise ValueError(f"a varint holds 0 to 2⁶⁴ − 1, not {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read(next_byte: Callable[[], int]) -> int:
    """One number from `next_byte`, which gives a byte at a time and raises what it likes at the end."""
    value = 0
    for place in range(MAX_BYTES):
        byte = next_byte()
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return _checked(value)
    raise ValueError("a number runs on for more than 64 bits")


def zigzag(value: int) -> int:
    """Signed to unsigned, small magnitudes first: 0, −1, 1, −2, …"""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    return value >> 1 if value & 1 == 0 else -(value + 1 >> 1)


def _checked(value: int) -> int:
    if value >> 64:
        raise ValueError("a number runs on for more than 64 bits")
    return value
