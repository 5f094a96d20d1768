"""Timing a decoder from outside: a fresh process, warmed up, whose clock starts when the bitstream is delivered.

The process says `ready` when its libraries are loaded; the stream goes in after that word, and the clock stops at the
last byte of the last frame. Nothing that the process says of itself is used: seconds are ours, processor time and
memory are the kernel's. Call `time_decoding` where the machine has nothing else to do.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO

from gpu_workers.codec.frames import BadFrames, Frame, Plane, RawReader, VideoInfo, check_range
from gpu_workers.codec.measure.decoder_side import DecoderSide
from gpu_workers.codec.measure.processes import BoxedProcess, PlainProcess, Process
from gpu_workers.codec.measure.spots import Spots
from lab.errors import AetherError
from lab.experiment import Reason

RUNS = 3
PIPE_BYTES = 1 << 20  # so that the decoder need not wait for us after every 64 KiB
ERROR_BYTES = 4096
PLAIN = DecoderSide()


class DecoderFailed(AetherError):
    """The decoder process ended without all its frames; the message is the last thing it said, or why we ended it."""

    def __init__(self, message: str, reason: Reason = "bad_output") -> None:
        super().__init__(message)
        self.reason: Reason = reason


@dataclass(frozen=True)
class DecodeTiming:
    """Of several warm runs: medians, and how far apart the fastest and the slowest were."""

    decode_fps: float
    decode_ms: float  # a frame
    decode_spread_pct: float  # (slowest − fastest) / median
    decode_cpu_s: float  # processor time of one whole decode, user and system


class DecoderProcess:
    """One decoder that waits for its stream. Use `started` or `warm`, which also end it."""

    def __init__(self, threads: int, side: DecoderSide = PLAIN) -> None:
        ready, told = os.pipe()
        try:
            self._runs: Process = (BoxedProcess(side.plan(threads, told), told) if side.box_mb
                                   else PlainProcess(side.command(threads, told), told))
        except BaseException:
            os.close(ready)
            raise
        finally:
            os.close(told)
        self.process = self._runs.process
        self.output = _reader(self.process.stdout)
        with suppress(PermissionError):  # a user has so much of it, and no more
            fcntl.fcntl(self.output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._ready = ready
        self._errors = b""
        self._readers = [threading.Thread(target=self._read_errors, daemon=True)]
        self._readers[0].start()
        self._ended = False
        self._code: int | None = None
        self._cpu_at_ready_s = self.cpu_s = self.peak_mb = 0.0

    def wait_until_ready(self) -> None:
        with os.fdopen(self._ready, "rb") as pipe:
            word = pipe.readline(16)
        if word != b"ready\n":
            self.finish()
            raise DecoderFailed("the decoder ended before it was ready")
        self._cpu_at_ready_s = self._runs.cpu_s()

    def deliver(self, stream: Path) -> None:
        """Hands the file's bytes over beside us: the decoder may write frames before it has read the last byte."""
        writer = threading.Thread(target=self._write, args=(stream,), daemon=True)
        writer.start()
        self._readers.append(writer)

    def frames(self, info: VideoInfo) -> Iterator[Frame]:
        """The frames, exactly as many and as large as `info` says. Sets `cpu_s` and `peak_mb` at the end."""
        try:
            for frame in RawReader(self.output, info):
                self.peak_mb = max(self.peak_mb, self._runs.high_water_mb())
                yield frame
        except BadFrames as error:
            self.output.close()  # one that still writes hears of it
            self.finish()
            raise DecoderFailed(f"{error}; {self._last_words()}") from error
        self.finish()

    def finish(self) -> None:
        """Waits for the end. Raises DecoderFailed unless it ended well."""
        self._code, cpu_s = self._runs.wait()
        self._ended = True
        self.cpu_s = cpu_s - self._cpu_at_ready_s
        for thread in self._readers:
            thread.join()
        if (why := self._runs.ended_by_us()) is not None:
            raise DecoderFailed(why.detail, why.reason)
        if self._code != 0:
            raise DecoderFailed(self._last_words())

    def close(self) -> None:
        if not self._ended:
            self._runs.kill()
            with suppress(DecoderFailed):
                self.finish()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(BrokenPipeError):
                _pipe(pipe).close()

    def _write(self, stream: Path) -> None:
        with suppress(BrokenPipeError), _pipe(self.process.stdin) as pipe, open(stream, "rb") as file:
            shutil.copyfileobj(file, pipe, PIPE_BYTES)

    def _read_errors(self) -> None:
        """Piece by piece: a stranger's line need have no end."""
        while piece := os.read(_pipe(self.process.stderr).fileno(), ERROR_BYTES):
            self._errors = (self._errors + piece)[-ERROR_BYTES:]

    def _last_words(self) -> str:
        lines = self._errors.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"the decoder ended with code {self._code}"


@contextmanager
def started(threads: int, side: DecoderSide = PLAIN) -> Iterator[DecoderProcess]:
    """A decoder that is ready for its stream. It does not outlive the block."""
    with warm(threads, 1, side) as (decoder,):
        yield decoder


@contextmanager
def warm(threads: int, count: int = RUNS, side: DecoderSide = PLAIN) -> Iterator[list[DecoderProcess]]:
    """Decoders that are ready, each for a stream of its own. They start beside one another, and wait idle."""
    with ExitStack() as stack:
        decoders = [stack.enter_context(closing(DecoderProcess(threads, side))) for _ in range(count)]
        for decoder in decoders:
            decoder.wait_until_ready()
        yield decoders


def time_decoding(decoders: Sequence[DecoderProcess], stream: Path, info: VideoInfo,
                  keep: frozenset[int] = frozenset(), spots: Spots | None = None,
                  ) -> tuple[DecodeTiming, dict[int, Frame]]:
    """Decodes the file once with each warm decoder, and gives the timing and the frames in `keep`.

    Raises DecoderFailed, also where they are not the frames whose `spots` are given, and BadFrames. The file should
    have been read before, so that no disk is timed.
    """
    seconds = list[float]()
    kept: dict[int, Frame] = {}
    for decoder in decoders:
        begin = time.perf_counter()
        decoder.deliver(stream)
        samples = list[Plane]()
        kept |= _take(decoder.output, info, keep, samples, spots)
        seconds.append(time.perf_counter() - begin)
        decoder.finish()
        if spots is not None and (other := spots.first_other(samples)) is not None:
            raise DecoderFailed(f"frame {other} of a timed decoding is not the one that was measured")
    for frame in kept.values():
        check_range(frame, info)
    return _timing(seconds, [decoder.cpu_s for decoder in decoders], info.frames), kept


def _take(pipe: BufferedReader, info: VideoInfo, keep: frozenset[int], samples: list[Plane],
          spots: Spots | None) -> dict[int, Frame]:
    """Reads all frames through one buffer, since a fresh one for each would be our time and not the decoder's."""
    buffer, kept = bytearray(info.frame_bytes), dict[int, Frame]()
    for number in range(info.frames):
        if pipe.readinto(buffer) != info.frame_bytes:  # it fills the buffer, or the stream ended
            raise DecoderFailed(f"the frames ended after {number} of {info.frames}")
        if spots is not None:
            samples.append(spots.of(buffer))  # microseconds; they are compared when the clock stands
        if number in keep:
            kept[number] = Frame.from_bytes(bytes(buffer), info)
    return kept


def _timing(seconds: list[float], cpu_s: list[float], frames: int) -> DecodeTiming:
    median_s = statistics.median(seconds)
    return DecodeTiming(
        decode_fps=frames / median_s,
        decode_ms=1000 * median_s / frames,
        decode_spread_pct=100 * (max(seconds) - min(seconds)) / median_s,
        decode_cpu_s=statistics.median(cpu_s),
    )


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # opened at the start
    return pipe


def _reader(pipe: IO[bytes] | None) -> BufferedReader:
    assert isinstance(pipe, BufferedReader)
    return pipe
