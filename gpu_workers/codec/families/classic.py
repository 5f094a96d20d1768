"""The encoding agent of the family `classic`: x265, SVT-AV1 or VVenC, as a point of `classic_space.SPACE` says.

One CONFIG chunk, then one KEY or DELTA chunk for each access unit. The same frames and parameters give the same
bytes, whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from gpu_workers.codec.contract import Chunk, EncodeInfo, Frame, Frames, Kind
from gpu_workers.codec.decoder.classic import Coding
from gpu_workers.codec.families import ffmpeg
from gpu_workers.codec.families.arguments import encoder_arguments, passes
from gpu_workers.codec.families.classic_space import SPACE
from gpu_workers.codec.families.pictures import coded_layout, coding_for, to_coded
from lab.errors import UserError
from lab.space import problems

_TEMPORAL_DELIMITER = b"\x12\x00"  # AV1 marks the start of each temporal unit; a chunk's borders say the same


def encode(frames: Frames, info: EncodeInfo, model: Path | None) -> Iterator[Chunk]:
    """Raises UserError for parameters outside the space, EncoderFailed where the encoder gives up."""
    if wrong := problems(SPACE, info.params):
        raise UserError(f"no such classic codec: {wrong[0]}")
    coding = coding_for(info.params, info.video)
    layout = coded_layout(coding, info.video)
    if passes(info.params) == 2:
        ffmpeg.run(_pictures(frames, info, coding), layout, [*_arguments(info, coding, 1), "-f", "null", "-"])
    units = ffmpeg.encode(_pictures(frames, info, coding), layout, _arguments(info, coding, passes(info.params)))
    yield from _chunks(units, coding, len(frames))


def _arguments(info: EncodeInfo, coding: Coding, number: int) -> list[str]:
    own = encoder_arguments(info.params, info.threads, number, info.scratch / "two_pass.stats")
    return [*own, "-pix_fmt", coding.pix_fmt]


def _pictures(frames: Frames, info: EncodeInfo, coding: Coding) -> Iterator[Frame]:
    return (to_coded(frame, info.video, coding) for frame in frames)


def _chunks(units: Iterator[ffmpeg.AccessUnit], coding: Coding, count: int) -> Iterator[Chunk]:
    seen: set[int] = set()
    for unit in units:
        if not seen:  # AV1 repeats its sequence header at each key picture, so it needs no other
            extradata = b"" if coding.codec == "av1" else unit.extradata
            yield Chunk(Kind.CONFIG, 0, msgspec.structs.replace(coding, extradata=extradata).to_bytes())
        seen.add(unit.index)
        yield Chunk(Kind.KEY if unit.key else Kind.DELTA, unit.index, unit.data.removeprefix(_TEMPORAL_DELIMITER)
                    if coding.codec == "av1" else unit.data)
    if seen != set(range(count)):
        raise ffmpeg.EncoderFailed(f"the encoder gave {len(seen)} pictures for {count} frames")
