"""From file to file: a video into an `.aec` at an asked rate or quality, and an `.aec` into a video.

Targets are written aside and renamed, so that a name stands for a whole file; of a cut stream the frames before the
cut are written, and then CutStream is raised.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import msgspec

from gpu_workers.codec.card import Card, inspect
from gpu_workers.codec.decoder.decode import Decoded
from gpu_workers.codec.decoder.errors import BadStream, CutStream
from gpu_workers.codec.families import ffmpeg
from gpu_workers.codec.families.knobs import KNOBS, Knob
from gpu_workers.codec.frames import VideoInfo
from gpu_workers.codec.searching import Coder, Progress, Watched, find
from gpu_workers.codec.turning import Turner, turn
from gpu_workers.codec.video import FrameReader
from lab.errors import UserError
from lab.space import Value
from lab.words import count

__all__ = ["Card", "Progress", "Report", "Written", "decode_file", "encode_file", "inspect"]


_FFV1_SLICED_SIDE = 16  # FFV1's later versions cut a frame into slices, and refuse one too small for that
WATCHED_CRF = 8  # of the H.264 in files for watching: near-lossless
WATCHED = (".mp4", ".mov")
KINDS = (".mkv", ".y4m", ".yuv", *WATCHED)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What an encoding came to. `mbps` counts every byte of the file; `psnr_y_db` is None where nobody asked."""

    family: str
    params: dict[str, Value]
    model: str  # hash of the weights without which it does not decode; empty where it needs none
    frames: int
    bytes: int
    mbps: float
    psnr_y_db: float | None
    encodings: int  # how often the source was coded to find the setting


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a decoding came to. `width` and `height` are those of the pictures in the file: larger than the stream's
    where they were `padded`. An `exact` file holds the decoder's very frames, another one coded them again."""

    file: str
    frames: int
    width: int
    height: int
    padded: bool
    exact: bool


def encode_file(
    source: str | Path,
    target: str | Path,
    *,
    family: str = "classic",
    mbps: float | None = None,
    crf: float | None = None,
    psnr_db: float | None = None,
    params: Mapping[str, Value] | None = None,
    model: Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Codes `source` at an average rate (within 3 % where the encoder can), a constant quality, or a mean PSNR-Y.

    Ask for one of the three; for none it is 1 Mbps, or what `params` says. `params` are those of the family's space
    that differ from its defaults; the classic encoder is SVT-AV1, preset 6, unless they name another. `model` are the
    frozen weights of a family that has some.
    """
    asked = _asked(mbps=mbps, crf=crf, psnr=psnr_db)
    given = dict(params or {})
    frames = FrameReader(source)
    with _aside(Path(target)) as folder:
        coder: Coder | Turner
        if family == "classic":
            coder = Coder(frames, folder, given, threads or os.cpu_count() or 1, progress)
            best = find(coder, frames.info, asked)
        else:
            knob = _knob(family)
            if "crf" in asked:
                given[_crf(family, knob)] = asked.pop("crf")
            coder = Turner(frames, folder, family, knob, given, model, threads or os.cpu_count() or 1, progress)
            best = turn(coder, asked)
        size = best.path.stat().st_size
        hash = inspect(best.path).header.model
        os.replace(best.path, target)
    return Report(family=family, params=best.params, model=hash, frames=len(frames), bytes=size, mbps=best.mbps,
                  psnr_y_db=best.psnr_y_db, encodings=coder.encodings)


def _knob(family: str) -> Knob:
    if family not in KNOBS:
        raise UserError(f"no family {family!r} to encode with; there are classic, {', '.join(KNOBS)}")
    return KNOBS[family]


def _crf(family: str, knob: Knob) -> str:
    if not any(dimension.name == "crf" for dimension in knob.space):
        raise UserError(f"{family} has no crf; ask for --mbps or --psnr, or give --param {knob.name}=…")
    return "crf"


def decode_file(
    source: str | Path, target: str | Path, *, models: Mapping[str, Path] | None = None, threads: int | None = None,
    progress: Progress | None = None
) -> Written:
    """Writes the frames to `target`. The kind of file goes by the name's end: `.y4m` and `.yuv` are the bare frames,
    `.mkv` is lossless FFV1, `.mp4` and `.mov` are near-lossless H.264 for watching, padded to even sides where their
    chroma asks for that. `models` are the files of weights by hash, for streams that name one."""
    place = Path(target)
    kind = place.suffix.lower()
    if kind not in KINDS:
        raise UserError(f"{target}: no kind of video goes by {place.suffix or 'a name without an end'!r} here; there "
                        f"is {', '.join(KINDS)}")
    with _named(source), _opened(Path(source)) as file, _aside(place) as folder:
        decoded = Decoded(file, threads=threads or os.cpu_count() or 1, models=models)
        watched = Watched(decoded, decoded.info, "decoding", progress)
        width, height = _sides(decoded.info, kind)
        padded = (width, height) != (decoded.info.width, decoded.info.height)
        part = folder / f"decoded{place.suffix}"
        try:
            arguments = [*_file_arguments(kind, decoded.info), f"file:{part}"]
            ffmpeg.run(watched, decoded.info, arguments, (f"pad={width}:{height}",) if padded else ())
        except CutStream as cut:
            raise CutStream(f"{cut}; {_kept(watched.count, place)}") from None
        finally:
            if watched.count and part.exists():
                os.replace(part, place)
    return Written(file=str(target), frames=watched.count, width=width, height=height, padded=padded,
                   exact=kind not in WATCHED)


def _kept(frames: int, place: Path) -> str:
    if not frames:
        return "there was no frame before it"
    return f"the {count(frames, 'frame')} before it {'is' if frames == 1 else 'are'} in {place}"


def _sides(video: VideoInfo, kind: str) -> tuple[int, int]:
    """Of the pictures in a file of that kind: H.264 holds whole samples of chroma, so 4:2:0 has even sides."""
    odd_wide = kind in WATCHED and video.pix_fmt.startswith(("yuv420p", "yuv422p")) and video.width % 2
    odd_tall = kind in WATCHED and video.pix_fmt.startswith("yuv420p") and video.height % 2
    return video.width + odd_wide, video.height + odd_tall


def _asked(**wishes: float | None) -> dict[str, float]:
    asked = {name: value for name, value in wishes.items() if value is not None}
    if len(asked) > 1:
        raise UserError(f"asked for {' and '.join(asked)} at once; give one of --mbps, --crf and --psnr")
    for name, value in asked.items():
        if not (value > 0 and math.isfinite(value)):
            raise UserError(f"--{name} {value} is no positive number")
    return asked


def _file_arguments(suffix: str, video: VideoInfo) -> list[str]:
    """ffmpeg's output options for a file of that kind."""
    ffv1 = "3" if min(video.width, video.height) >= _FFV1_SLICED_SIDE else "1"
    h264 = ["-c:v", "libx264", "-preset", "medium", "-crf", str(WATCHED_CRF)]
    return {
        ".y4m": ["-f", "yuv4mpegpipe", "-strict", "-1"],
        ".yuv": ["-f", "rawvideo"],
        ".mkv": ["-c:v", "ffv1", "-level", ffv1, "-f", "matroska"],
        ".mp4": [*h264, "-f", "mp4"],
        ".mov": [*h264, "-f", "mov"],
    }[suffix]


@contextmanager
def _named(source: str | Path) -> Iterator[None]:
    """What is wrong with the stream, under its file's name."""
    try:
        yield
    except BadStream as error:
        raise type(error)(f"{source}: {error}") from None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    with file:
        yield file


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A folder for unfinished files on the target's own disk, gone afterwards."""
    try:
        folder = TemporaryDirectory(prefix=".aether-", dir=target.parent)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}; name a folder of yours") from None
    with folder:
        yield Path(folder.name)
