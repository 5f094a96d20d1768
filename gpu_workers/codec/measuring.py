"""One stream against its original: decoded by a fresh process from the bytes that are counted, measured in step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpu_workers.codec.measure.decoder_side import DecoderSide
from gpu_workers.codec.measure.quality import Quality, QualityResult
from gpu_workers.codec.measure.spots import Spots
from gpu_workers.codec.measure.timing import PLAIN, started
from gpu_workers.codec.stream import StreamFacts, read_stream_facts
from gpu_workers.codec.video import FrameReader


@dataclass(frozen=True)
class Measured:
    """What a stream is worth, timings apart."""

    reference: FrameReader
    path: Path
    stream: StreamFacts
    quality: QualityResult
    decode_peak_mb: float
    spots: Spots  # by which its frames are known again

    @property
    def bitrate_mbps(self) -> float:
        return self.stream.bytes * 8 / self.reference.info.duration_s / 1e6

    @property
    def worst_frame(self) -> int:
        return self.quality.worst_frames(1)[0]


def measure(reference: FrameReader, path: Path, threads: int, progress: Callable[[int], None],
            side: DecoderSide = PLAIN) -> Measured:
    """`progress` hears how many frames are done; `side` is what its decoder is started with.
    Raises BadStream, BadFrames or DecoderFailed for a bad stream."""
    info, spots = reference.info, Spots(reference.info)
    facts = read_stream_facts(path, info.frames)
    with started(threads, side) as decoder, Quality(reference, info, threads=threads) as quality:
        decoder.deliver(path)
        for done, frame in enumerate(decoder.frames(info), 1):
            quality.add(frame)
            spots.keep(frame.to_bytes())
            progress(done)
        return Measured(reference, path, facts, quality.result(), decoder.peak_mb, spots)
