"""The phase `score`: trusted, it measures each clip from the bytes that were counted, and leaves `scores.json`.

For each clip a fresh decoder gets the bitstream and nothing else; its frames are measured in step against the original,
paired by index. Then, with the machine to itself, warm decodes are timed. Per-frame numbers and thumbnails are kept for
those who ask why. A candidate's bad stream or dead decoder is the candidate's failure; an original that cannot be
read is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.encoding import EncodeRecord, coded_clips, open_clip
from gpu_workers.codec.frames import BadFrames, Frame
from gpu_workers.codec.measure.quality import Quality, QualityResult
from gpu_workers.codec.measure.timing import DecoderFailed, DecodeTiming, started, time_decoding
from gpu_workers.codec.phases import FRAMES, RECORDS, SCORES, STREAMS, SUFFIX, THUMBNAILS
from gpu_workers.codec.stream import StreamFacts, read_stream_facts
from gpu_workers.codec.summary import ClipScores, Number, summarise
from gpu_workers.codec.thumbnails import thumbnail
from gpu_workers.codec.video import FrameReader
from gpu_workers.device import device_class
from gpu_workers.phase import BoundClip, Box, Refuse
from lab.canonical import sha256

NO_NETWORK = "not applicable: the decoder has no network"
NETWORK_METRICS = ("decoder_kmac_px", "decoder_teraops_frame")
NO_MODEL_MB = 0.0  # a classic decoder needs nothing beside the stream
HOUR_S = 3600


@dataclass(frozen=True)
class Measured:
    """What is known of one clip before its decoding is timed."""

    clip: BoundClip
    reference: FrameReader
    path: Path
    stream: StreamFacts
    quality: QualityResult
    decode_peak_mb: float

    @property
    def worst_frame(self) -> int:
        return self.quality.worst_frames(1)[0]

    @property
    def bitrate_mbps(self) -> float:
        return self.stream.bytes * 8 / self.reference.info.duration_s / 1e6


def score(box: Box) -> None:
    """Leaves `scores.json`, `frames.json` and `thumbnails/`."""
    (box.out / THUMBNAILS).mkdir()
    records = msgspec.json.decode(box.inputs[f"encode/{RECORDS}"].read_bytes(), type=dict[str, EncodeRecord])
    measured = [_measure_bound(box, clip) for clip in coded_clips(box)]
    with box.machine.exclusive():
        timed = [_time(box, one) for one in measured]
    for one, (_, kept) in zip(measured, timed, strict=True):
        _leave_thumbnails(box, one, kept)
    (box.out / FRAMES).write_bytes(msgspec.json.encode({one.clip.name: _per_frame(one) for one in measured}))
    clips = {one.clip.name: clip_scores(one, timing, records[one.clip.name])
             for one, (timing, _) in zip(measured, timed, strict=True)}
    claimed = ("encode_fps", "encode_cpu_s") if box.spec.code else ()
    scores = summarise(clips, device_class(), _artefacts(box.out), claimed)
    (box.out / SCORES).write_bytes(msgspec.json.encode(scores))


def _measure_bound(box: Box, clip: BoundClip) -> Measured:
    reference = open_clip(clip)
    path = box.inputs[f"encode/{STREAMS}/"] / f"{clip.name}{SUFFIX}"
    try:
        with box.machine.shared():
            return measure(clip, reference, path, box)
    except (BadStream, BadFrames, DecoderFailed) as error:
        raise Refuse("bad_output", f"{clip.name}: {error}") from error


def measure(clip: BoundClip, reference: FrameReader, path: Path, box: Box) -> Measured:
    """Decodes in a fresh process and measures in step. Raises BadStream, BadFrames or DecoderFailed."""
    info = reference.info
    facts = read_stream_facts(path, info.frames)
    with started(box.threads) as decoder, Quality(reference, info, threads=box.threads) as quality:
        decoder.deliver(path.read_bytes())
        for done, frame in enumerate(decoder.frames(info), 1):
            quality.add(frame)
            box.progress(clip=clip.name, frame=done, frames=info.frames)
        return Measured(clip, reference, path, facts, quality.result(), decoder.peak_mb)


def _time(box: Box, one: Measured) -> tuple[DecodeTiming, dict[int, Frame]]:
    box.progress(clip=one.clip.name, note="timing the decoder")
    info = one.reference.info
    try:
        return time_decoding(one.path.read_bytes(), info, box.threads, frozenset(_shown(one).values()))
    except DecoderFailed as error:
        raise Refuse("bad_output", f"{one.clip.name}: {error}, though it had decoded once") from error


def clip_scores(one: Measured, timing: DecodeTiming, record: EncodeRecord) -> ClipScores:
    source_mbps = one.clip.facts.get("source_mbps")
    frames = len(one.reference)
    values: dict[str, Number] = {
        **one.quality.mean,
        "bitrate_mbps": one.bitrate_mbps,
        "amortised_mbps": one.bitrate_mbps + NO_MODEL_MB * 8 / HOUR_S,
        "model_mb": NO_MODEL_MB,
        "reduction_vs_source_pct": 100 * (1 - one.bitrate_mbps / source_mbps) if source_mbps else None,
        "encode_fps": record.frames / record.seconds if record.seconds else None,
        "encode_cpu_s": record.cpu_s,
        **msgspec.to_builtins(timing),
        "decode_peak_mb": one.decode_peak_mb,
        "worst_frame": one.worst_frame,
        "worst_psnr_y_db": one.quality.per_frame["psnr_y_db"][one.worst_frame],
        "key_bytes_pct": 100 * one.stream.key_bytes / one.stream.bytes,
        "overhead_bytes_frame": (one.stream.bytes - one.stream.data_bytes) / frames,
    }
    why = {**one.quality.why, **dict.fromkeys(NETWORK_METRICS, NO_NETWORK), "encode_fps": record.why,
           "reduction_vs_source_pct": "the clip's facts have no source_mbps"}
    return ClipScores(values=values, why=why)


def _per_frame(one: Measured) -> dict[str, Any]:
    info = one.reference.info
    return {"fps": float(info.fps), "worst_frames": one.quality.worst_frames(), "bytes": one.stream.frame_bytes,
            "models": one.quality.models, **one.quality.per_frame}


def _shown(one: Measured) -> dict[str, int]:
    return {"middle": len(one.reference) // 2, "worst": one.worst_frame}


def _leave_thumbnails(box: Box, one: Measured, kept: dict[int, Frame]) -> None:
    for which, number in _shown(one).items():
        for side, frame in (("original", one.reference[number]), ("decoded", kept[number])):
            target = box.out / THUMBNAILS / f"{one.clip.name}-{which}-{side}.webp"
            target.write_bytes(thumbnail(frame, one.reference.info))


def _artefacts(out: Path) -> dict[str, str]:
    """Name → SHA-256 of what is kept beside the scores, which is what the store calls it."""
    files = [out / FRAMES, *sorted((out / THUMBNAILS).iterdir())]
    return {str(file.relative_to(out)): sha256(file.read_bytes()) for file in files}
