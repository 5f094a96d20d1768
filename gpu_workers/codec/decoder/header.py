"""What an `.aec` says of itself before the first chunk, and the bytes it says it in.

    magic (8 bytes) · version · body length · body · CRC-32C of version, length and body

All numbers are varints. The body is: family, model hash (0 or 32 bytes), width, height, frame rate as a fraction,
frames + 1 (0: not known while writing), pixel format, range (0 limited, 1 full), matrix; text as length and ASCII.
A header that passes `problems` describes frames that fit in memory, whatever the bytes were.
"""

from __future__ import annotations

import re

import msgspec

from gpu_workers.codec.decoder import varint
from gpu_workers.codec.decoder.errors import BadStream

MAGIC = b"\x89AEC\r\n\x1a\n"  # as PNG's: a copy in text mode, or with the high bit cleared, is seen at once
VERSION = 1
PIX_FMTS = ("yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le")
MATRICES = ("bt709", "bt601", "bt2020", "unspecified")
MAX_SIDE = 1 << 15
MAX_PIXELS = 1 << 27  # a 16K frame
MAX_FRAMES = 1 << 40
MAX_BODY_BYTES = 4096
MAX_RATE = 1 << 32
HASH = re.compile(r"[0-9a-f]{64}")
FAMILY = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The stream's frames as they were in the source. `frames` is None where the writer did not know yet."""

    family: str
    width: int
    height: int
    fps_num: int
    fps_den: int
    frames: int | None
    pix_fmt: str = "yuv420p"
    full_range: bool = False
    matrix: str = "unspecified"
    model: str = ""  # SHA-256 (hex) of the weights that the decoder needs, or empty

    def problems(self) -> list[str]:
        """Why no stream can have this header: one line each, empty if it is sound."""
        frames = self.frames or 0
        checks = {
            f"{self.family!r} is no family's name": FAMILY.fullmatch(self.family),
            f"{self.width}x{self.height} is no frame size": _all_within(MAX_SIDE, self.width, self.height)
            and self.width * self.height <= MAX_PIXELS,
            f"{self.fps_num}/{self.fps_den} is no frame rate": _all_within(MAX_RATE, self.fps_num, self.fps_den),
            f"{frames} is no number of frames": 0 <= frames <= MAX_FRAMES,
            f"pixel format {self.pix_fmt!r} is not known": self.pix_fmt in PIX_FMTS,
            f"matrix {self.matrix!r} is not known": self.matrix in MATRICES,
            "the model hash is not 64 hexadecimal digits": not self.model or HASH.fullmatch(self.model),
        }
        return [problem for problem, holds in checks.items() if not holds]

    def to_bytes(self) -> bytes:
        """The body. Raises ValueError if no stream can have this header."""
        if wrong := self.problems():
            raise ValueError("; ".join(wrong))
        frames = 0 if self.frames is None else self.frames + 1
        numbers = (self.width, self.height, self.fps_num, self.fps_den, frames)
        return b"".join((name_to_bytes(self.family, self.model), *map(varint.encode, numbers), _text(self.pix_fmt),
                         varint.encode(self.full_range), _text(self.matrix)))

    @classmethod
    def from_bytes(cls, body: bytes) -> Header:
        """Raises BadStream unless the whole body is one sound header."""
        fields = Fields(body)
        family, model = fields.name()
        width, height, fps_num, fps_den, frames = (fields.number() for _ in range(5))
        pix_fmt, full_range, matrix = fields.text(), fields.number(), fields.text()
        header = cls(family=family, model=model, width=width, height=height, fps_num=fps_num, fps_den=fps_den,
                     frames=frames - 1 if frames else None, pix_fmt=pix_fmt, full_range=full_range == 1, matrix=matrix)
        wrong = header.problems() + fields.rest() + ([] if full_range < 2 else [f"range {full_range} is not known"])
        if wrong:
            raise BadStream(f"the stream's header is not valid: {wrong[0]}")
        return header


class Fields:
    """Reads a body field by field; running past its end is a BadStream."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def number(self) -> int:
        try:
            return varint.read(lambda: self.take(1)[0])
        except ValueError as error:
            raise BadStream(f"the stream is damaged: {error}") from None

    def take(self, length: int) -> bytes:
        piece = self._body[self._at:self._at + length]
        if len(piece) < length:
            raise BadStream("the stream is damaged: a field runs past the end of its block")
        self._at += length
        return piece

    def text(self) -> str:
        return self.take(self.number()).decode("ascii", "replace")

    def name(self) -> tuple[str, str]:
        """A family and the hash (hex) of its model, or an empty one."""
        return self.text(), self.take(self.number()).hex()

    def rest(self) -> list[str]:
        """A problem, if anything is left unread."""
        return [f"{self.left()} bytes too many"] if self.left() else []

    def left(self) -> int:
        """How many bytes are unread."""
        return len(self._body) - self._at


def name_to_bytes(family: str, model: str) -> bytes:
    """A family's name and its model's hash, as `Fields.name` reads them."""
    digest = bytes.fromhex(model)
    return _text(family) + varint.encode(len(digest)) + digest


def _all_within(most: int, *values: int) -> bool:
    return all(0 < value <= most for value in values)


def _text(value: str) -> bytes:
    return varint.encode(len(value)) + value.encode("ascii")
