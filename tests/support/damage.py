"""Damaged streams, and a server that decodes each in a fork of its own, under limits, and tells how it ended."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import crc32c
import msgspec

from gpu_workers.codec.contract import Chunk
from gpu_workers.codec.decoder import varint
from gpu_workers.codec.decoder.container import Reader
from gpu_workers.codec.decoder.header import MAGIC, VERSION
from support.streams import stream

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden"
FAMILIES = {  # each with its whole streams, and beside them the models that they need
    "classic": GOLDEN,
    "hyperprior": GOLDEN / "hyperprior",
    "restore": GOLDEN / "restore",
}
Mutation = Callable[[bytes, random.Random], bytes]


class Ending(msgspec.Struct, frozen=True):
    """How a decoding ended. `signal` and `code` are the process's; `error` is the one line that a person would see."""

    frames: int = 0
    announced: int = 0
    wrong_shape: bool = False
    error: str | None = None
    crash: str = ""  # an exception that is none of ours
    ended: str = ""  # by a signal, or for its time
    peak_mb: float = 0.0

    def problems(self) -> list[str]:
        """Why this is no way to end, one line each."""
        checks = {
            f"it crashed: {self.crash}": self.crash,
            f"it was ended by {self.ended}": self.ended,
            f"it took {self.peak_mb:.0f} MB": self.peak_mb > 1024,
            "a frame had another shape than announced": self.wrong_shape,
            f"{self.frames} frames came of {self.announced}, and no error": self.error is None and not self.crash
            and self.announced not in (0, self.frames),
            f"the error is no line: {self.error!r}": self.error is not None
            and (not self.error.strip() or "\n" in self.error),
        }
        return [problem for problem, wrong in checks.items() if wrong]


class Server:
    """Decodes one stream after the other, each in a fork."""

    def __init__(self, process: subprocess.Popen[bytes], models: Sequence[Path]) -> None:
        self._process = process
        self._models = [str(path) for path in models]

    def decode(self, data: bytes) -> Ending:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"bytes": len(data), "models": self._models}
        self._process.stdin.write(json.dumps(order).encode() + b"\n" + data)
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the server itself has died"
        return msgspec.json.decode(line, type=Ending)


@contextmanager
def serving(models: Sequence[Path]) -> Iterator[Server]:
    command = [sys.executable, str(Path(__file__).with_name("damage_server.py"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield Server(process, models)
        finally:
            process.kill()


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Half of them have right checksums, so that the damage reaches what lies behind the container."""
    mutation: Mutation = rng.choice([flip, cut, splice, damage_inside, damage_inside, damage_header])
    return mutation(data, rng)


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
    if (fate := rng.random()) < 0.2:
        del chunks[victim]
    elif fate < 0.3:
        chunks.insert(rng.randrange(len(chunks)), old)
    elif old.data:
        change = rng.choice([flip, flip, cut, splice])
        chunks[victim] = Chunk(old.kind, old.index, change(old.data, rng))
    if rng.random() < 0.2:
        rng.shuffle(chunks)
    return stream(reader.header, chunks)


def damage_header(data: bytes, rng: random.Random) -> bytes:
    """The header says something else, under a right checksum."""
    reader = Reader(io.BytesIO(data))
    body = flip(reader.header.to_bytes(), rng)
    block = varint.encode(VERSION) + varint.encode(len(body)) + body
    return MAGIC + block + crc32c.crc32c(block).to_bytes(4, "little") + data[reader.bytes_read:]
