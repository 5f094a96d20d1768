"""Whole numbers to bytes and back, by integer tables: what every machine must do alike.

A symbol is coded by one of a set's tables, and which one is known on both sides. Symbols are grouped by table and each
group is one call of constriction's ANS coder, which is what makes it fast. A table's counts are whole numbers under
2²⁴: their way to probabilities is exact arithmetic and IEEE operations without a function that libraries differ in.
What a table does not hold is an escape; its value stands in front, as a varint. Damaged bytes give other symbols or a
BadStream, and never more symbols than were asked for.

    escapes · value … · 32 bit words of the ANS coder, little endian
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.decoder import varint
from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.decoder.header import Fields

MOST_COUNT = (1 << 24) - 1
MOST_VALUE = (1 << 20) - 1  # of an escaped symbol, either side of zero
MOST_TABLES = 256
_WORD_BYTES = 4
Whole = npt.NDArray[np.int32]
Which = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Table:
    """How often each symbol from `first` on comes; with `escape`, the last count is for all the others."""

    first: int
    counts: npt.NDArray[np.int64]
    escape: bool = True

    def __post_init__(self) -> None:
        if len(self.counts) < 2 or self.counts.min() < 1 or self.counts.max() > MOST_COUNT:
            raise ValueError(f"a table has two counts at least, each from 1 to {MOST_COUNT}")

    @cached_property
    def model(self) -> Any:
        probabilities = self.counts.astype(np.float64)
        return import_module("constriction").stream.model.Categorical(probabilities, perfect=False)

    @property
    def last(self) -> int:
        """The index that stands for what the table does not hold; without an escape there is none."""
        return len(self.counts) - 1 if self.escape else len(self.counts)

    def indices(self, symbols: Whole) -> tuple[Whole, Whole]:
        """The symbols' places in the table, and those that have none. Raises ValueError where there is no escape."""
        places = symbols - self.first
        strange = (places < 0) | (places >= self.last)
        if not self.escape and strange.any():
            raise ValueError("a symbol is not in its table, which has no escape")
        return np.where(strange, self.last, places).astype(np.int32), symbols[strange]


Tables = Sequence[Table]


@dataclass(frozen=True)
class Part:
    """Symbols that are decoded together: `which` is the table of each."""

    tables: Tables
    which: Which
    symbols: Whole


def pack(parts: Sequence[Part]) -> bytes:
    """The bytes of these parts, which are unpacked in the same order."""
    coder = import_module("constriction").stream.stack.AnsCoder()
    strangers: list[Whole] = []
    for part in reversed(parts):
        order, groups = _grouped(part.which, len(part.tables))
        sorted_symbols = part.symbols.reshape(-1)[order]
        for table, begin, end in reversed(groups):
            places, strange = part.tables[table].indices(sorted_symbols[begin:end])
            coder.encode_reverse(places, part.tables[table].model)
            strangers.append(strange)
    escaped = np.concatenate(strangers[::-1]) if strangers else np.zeros(0, np.int32)
    if len(escaped) and int(np.abs(escaped.astype(np.int64)).max()) > MOST_VALUE:
        raise ValueError(f"a symbol is beyond ±{MOST_VALUE}")
    head = [varint.encode(len(escaped)), *(varint.encode(varint.zigzag(int(value))) for value in escaped)]
    words: bytes = coder.get_compressed().astype("<u4").tobytes()
    return b"".join(head) + words


class Unpacker:
    """Takes what `pack` wrote, part by part. Raises BadStream where bytes run out or are left over."""

    def __init__(self, data: bytes) -> None:
        fields = Fields(data)
        count = fields.number()
        if count > fields.left():
            raise BadStream("the stream is damaged: it announces more escaped symbols than it has bytes")
        values = [varint.unzigzag(fields.number()) for _ in range(count)]
        if any(abs(value) > MOST_VALUE for value in values):
            raise BadStream("the stream is damaged: an escaped symbol is out of bounds")
        self._escaped, self._used = np.array(values, np.int32), 0
        self._coder = _decoder(data[len(data) - fields.left():])

    def take(self, tables: Tables, which: Which) -> Whole:
        """One symbol for each entry of `which`, in its shape."""
        order, groups = _grouped(which, len(tables))
        pieces = [self._group(tables[table], end - begin) for table, begin, end in groups]
        symbols = np.empty(len(order), np.int32)
        if pieces:
            symbols[order] = np.concatenate(pieces)
        return symbols.reshape(which.shape)

    def finish(self) -> None:
        if self._used != len(self._escaped) or not self._coder.is_empty():
            raise BadStream("the stream is damaged: its symbols do not end where its bytes do")

    def _group(self, table: Table, count: int) -> Whole:
        places: Whole = self._coder.decode(table.model, count)
        symbols = places + np.int32(table.first)
        if table.escape:
            strange = np.flatnonzero(places == table.last)
            if self._used + len(strange) > len(self._escaped):
                raise BadStream("the stream is damaged: it escapes more symbols than it announces")
            symbols[strange] = self._escaped[self._used:self._used + len(strange)]
            self._used += len(strange)
        return symbols


def _grouped(which: Which, tables: int) -> tuple[npt.NDArray[np.intp], list[tuple[int, int, int]]]:
    """The order that brings equal tables together, and for each table that occurs its (number, begin, end) in it."""
    flat = which.reshape(-1)
    ends = np.cumsum(np.bincount(flat, minlength=tables))
    if len(ends) > tables:
        raise ValueError(f"there are {tables} tables, and {len(ends)} are asked for")
    begins = np.concatenate(([0], ends[:-1]))
    groups = [(int(table), int(begins[table]), int(ends[table])) for table in np.flatnonzero(ends > begins)]
    return np.argsort(flat, kind="stable"), groups


def _decoder(data: bytes) -> Any:
    if len(data) % _WORD_BYTES or data[-_WORD_BYTES:] == bytes(_WORD_BYTES):
        raise BadStream("the stream is damaged: its symbols are no whole words, or end in an empty one")
    words = np.frombuffer(data, "<u4").astype(np.uint32)
    return import_module("constriction").stream.stack.AnsCoder(words)
