"""The phase `encode`: each clip through the family's encoding agent, by the contract, into one `.aec` a clip.

The agent's chunks go straight into the container, so that the file is never in memory. Encoding shares the machine
with other work; only a timed one waits for the machine and then has a speed to tell.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from gpu_workers.codec.contract import BrokenContract, Chunk, EncodeInfo, load_encoding_agent
from gpu_workers.codec.decoder.container import Writer
from gpu_workers.codec.decoder.header import Header
from gpu_workers.codec.families import ENCODERS
from gpu_workers.codec.frames import Frames, VideoInfo, given
from gpu_workers.codec.phases import CODED_ROLES, RECORDS, STREAMS, SUFFIX
from gpu_workers.codec.two_agents import encoding_agent, frozen_model
from gpu_workers.codec.video import FrameReader
from gpu_workers.phase import BoundClip, Box, Refuse
from lab.canonical import sha256
from lab.errors import AetherError, UserError
from lab.experiment import Reason
from lab.space import Value

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
NOT_ALONE = "not timed: only confirmations encode with the machine to themselves"


class EncodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one clip's encoding took. Seconds are null unless the machine had nothing else to do."""

    frames: int
    bytes: int
    seconds: float | None
    cpu_s: float
    why: str = ""


def encode(box: Box) -> None:
    """Leaves `streams/NAME.aec` for each clip, and `encode.json`, a mapping of names to `EncodeRecord`s."""
    (box.out / STREAMS).mkdir()
    records = {clip.name: _encode_bound(box, clip) for clip in coded_clips(box)}
    (box.out / RECORDS).write_bytes(msgspec.json.encode(records))


def _encode_bound(box: Box, clip: BoundClip) -> EncodeRecord:
    frames = open_clip(clip)
    target = box.out / STREAMS / f"{clip.name}{SUFFIX}"
    try:
        with _machine(box):
            record = encode_stream(frames, target, box.spec.family, box.spec.params, box.spec.seed, box.threads,
                                   lambda done: box.progress(clip=clip.name, frame=done, frames=len(frames)),
                                   source=encoding_agent(box), model=frozen_model(box))
    except UserError as error:
        raise Refuse("refused", f"{clip.name}: {error}") from error
    except BrokenContract as error:
        raise Refuse("bad_output", f"{clip.name}: {error}") from error
    except AetherError as error:
        reason: Reason = "disk" if os.strerror(errno.ENOSPC) in str(error) else "crash"
        raise Refuse(reason, f"{clip.name}: {error}") from error
    return record if box.timed else msgspec.structs.replace(record, seconds=None, why=NOT_ALONE)


def coded_clips(box: Box) -> tuple[BoundClip, ...]:
    """The clips to code and score. Their names become file names. Raises Refuse if there is none, or an odd one."""
    clips = tuple(clip for clip in box.clips if clip.role in CODED_ROLES)
    if not clips:
        raise Refuse("harness_fault", "no clip of the role score or confirm is bound; see `aether clips list`")
    for clip in clips:
        if not _FILE_NAME.fullmatch(clip.name):
            raise Refuse("harness_fault", f"{clip.name!r} cannot be a file's name; add the clip under another name")
    return clips


def encode_stream(frames: Frames, target: Path, family: str, params: Mapping[str, Value], seed: int,
                  threads: int, progress: Callable[[int], None] = lambda frames: None, *,
                  source: str | Path = "", model: Path | None = None) -> EncodeRecord:
    """Encodes to the file `target`; `progress` hears how many chunks have come. `source` is the encoding agent, the
    family's own unless given; `model` are its weights.

    Raises UserError for parameters that the family does not have, and its own error where the encoder gives up.
    """
    if not source and family not in ENCODERS:
        raise UserError(f"no family {family!r}; there are {', '.join(ENCODERS)}")
    agent = load_encoding_agent(source or ENCODERS[family])
    with TemporaryDirectory() as scratch:
        info = EncodeInfo(video=frames.info, params=params, scratch=Path(scratch), seed=seed, threads=threads)
        cpu_s, begin = _cpu_s(), time.perf_counter()
        header = stream_header(frames.info, family, sha256(model.read_bytes()) if model else "")
        write_stream(agent.encode(frames, info, model), target, header, progress)
        seconds = time.perf_counter() - begin
    return EncodeRecord(frames=len(frames), bytes=target.stat().st_size, seconds=seconds, cpu_s=_cpu_s() - cpu_s)


def write_stream(chunks: Iterable[Chunk], target: Path, header: Header, progress: Callable[[int], None]) -> None:
    """Raises BrokenContract where an agent gave no chunks."""
    if not isinstance(chunks, Iterable):  # an encode that forgot its yield
        raise BrokenContract(f"encode(frames, info, model) gave {given(chunks)}, and not its Chunks one after the "
                             f"other (docs/two-agents.md)")
    with open(target, "wb") as file:
        writer = Writer(file, header)
        for done, chunk in enumerate(chunks, 1):
            if not isinstance(chunk, Chunk):
                raise BrokenContract(f"encode(frames, info, model) gave {given(chunk)}, where a Chunk is due "
                                     f"(docs/two-agents.md)")
            writer.write(chunk)
            progress(done)
        writer.close()


def stream_header(video: VideoInfo, family: str, model: str = "") -> Header:
    return Header(family=family, model=model, **msgspec.structs.asdict(video))


def open_clip(clip: BoundClip) -> FrameReader:
    """The clip is ours: one that cannot be read is no fault of the candidate. Raises Refuse."""
    try:
        frames = FrameReader(clip.path)
        frames.info  # noqa: B018  # counts the frames, outside of any timing
    except AetherError as error:
        raise Refuse("harness_fault", str(error)) from error
    return frames


def _machine(box: Box) -> AbstractContextManager[None]:
    return box.machine.exclusive() if box.timed else box.machine.shared()


def _cpu_s() -> float:
    """Processor time of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
