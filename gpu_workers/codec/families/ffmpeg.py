"""One run of the ffmpeg binary: planar frames go in through a pipe, a file or access units (`encode`) come out.

ffmpeg muxes into NUT, which keeps each access unit as the encoder made it, with its presentation time, and can be
read while it is written. Bounded memory: one frame on its way in, one access unit on its way out. A run that fails
raises EncoderFailed with ffmpeg's own words; a run that is abandoned leaves no process behind.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from typing import IO

import av
import av.error
import imageio_ffmpeg
import msgspec

from gpu_workers.codec.frames import Frame, VideoInfo
from lab.errors import AetherError

_MATRICES = {"bt709": "bt709", "bt601": "smpte170m", "bt2020": "bt2020nc", "unspecified": "unknown"}
_EVERY_FRAME_ITS_TIME = ("-fps_mode", "passthrough", "-avoid_negative_ts", "disabled")  # frame n at n / fps exactly
_LOG_BYTES = 1 << 16


class EncoderFailed(AetherError):
    """ffmpeg, or the encoder in it, gave up; the message is the first and the last line of its log."""


class AccessUnit(msgspec.Struct, frozen=True):
    """The bytes of one coded picture, in decoding order; `index` is its place in display order."""

    index: int
    key: bool
    data: bytes
    extradata: bytes


def run(frames: Iterable[Frame], layout: VideoInfo, arguments: Sequence[str], filters: Sequence[str] = ()) -> None:
    """ffmpeg takes the frames and writes what its arguments say; raises EncoderFailed, or what `frames` raised."""
    with _running(frames, layout, [*_labels(layout, filters), *arguments]):
        pass


def encode(frames: Iterable[Frame], layout: VideoInfo, arguments: Sequence[str]) -> Iterator[AccessUnit]:
    """The access units of `frames`, all of `layout`, each as soon as the encoder gives it."""
    with (
        _running(frames, layout, [*_labels(layout), *arguments, "-f", "nut", "pipe:1"]) as output,
        av.open(output, "r", format="nut") as container,
    ):
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                index = packet.pts * packet.time_base * layout.fps
                extradata = stream.codec_context.extradata or b""
                yield AccessUnit(round(index), bool(packet.is_keyframe), bytes(packet), extradata)


@contextmanager
def _running(frames: Iterable[Frame], layout: VideoInfo, arguments: Sequence[str]) -> Iterator[_Output]:
    """ffmpeg at work, fed by a thread. Leaving the block waits for it, and raises what went wrong."""
    with tempfile.TemporaryFile() as log:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y",
                   *_input(layout), *_EVERY_FRAME_ITS_TIME, *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                   env={**os.environ, "SVT_LOG": "1"})
        assert process.stdin is not None
        assert process.stdout is not None
        feeder, output = _Feeder(frames, process.stdin), _Output(process.stdout)
        feeder.start()
        try:
            with suppress(av.error.FFmpegError):  # half a stream: ffmpeg's exit says why, below
                yield output
            if output.error is not None:
                raise output.error
            process.stdout.read()
            feeder.join()
            process.wait()
        finally:
            process.kill()
            process.wait()
            feeder.join()
            process.stdout.close()
        if feeder.error is not None:
            raise feeder.error
        if process.returncode != 0:
            raise EncoderFailed(_words(log) or f"ffmpeg ended with code {process.returncode} and no word")


class _Output:
    """What ffmpeg writes, as PyAV reads it: an error that leaves `read` is lost there, and Ctrl-C is one. After it
    there is nothing more to read, however often it is tried."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        if self.error is not None:
            return b""
        try:
            return self._pipe.read(size)
        except BaseException as error:  # raised again where it can be heard
            self.error = error
            return b""


class _Feeder(Thread):
    """Writes frames into the pipe; keeps the error of a source that failed. A closed pipe is ffmpeg's to explain."""

    def __init__(self, frames: Iterable[Frame], pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._frames = frames
        self._pipe = pipe
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            for frame in self._frames:
                self._pipe.write(frame.to_bytes())
        except BrokenPipeError:
            pass
        except Exception as error:  # whatever the source raised belongs to the caller's thread
            self.error = error
        finally:
            with suppress(BrokenPipeError):
                self._pipe.close()


def _input(layout: VideoInfo) -> list[str]:
    return ["-f", "rawvideo", "-pix_fmt", layout.pix_fmt, "-s", f"{layout.width}x{layout.height}",
            "-framerate", f"{layout.fps_num}/{layout.fps_den}", "-i", "pipe:0"]


def _labels(layout: VideoInfo, filters: Sequence[str] = ()) -> list[str]:
    """What range and matrix the samples have, said of the frames and of the output alike: where the two differ, or
    one is silent, ffmpeg converts the samples."""
    range_, matrix = "pc" if layout.full_range else "tv", _MATRICES[layout.matrix]
    said = f"setparams=range={range_}:colorspace={matrix}"
    return ["-vf", ",".join((said, *filters)), "-color_range", range_, "-colorspace", matrix]


def _words(log: IO[bytes]) -> str:
    """The first line of a log, which is the cause, and the last, which says what came of it."""
    log.seek(0)
    text = log.read(_LOG_BYTES).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return "".join(lines)
    return f"{lines[0]} … {lines[-1]}"
