"""The phase `score`: trusted, it measures each clip from the bytes that were counted, and leaves `scores.json`.

For each clip a fresh decoder gets the bitstream and nothing else; its frames are measured in step against the original,
paired by index. Then, with the machine to itself, warm decodes are timed. In a confirmation a decoder from outside has
the machine to itself both times. Per-frame numbers and thumbnails are kept for those who ask why. A candidate's bad
stream or dead decoder is the candidate's failure; an original that cannot be read is ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.encoding import EncodeRecord, coded_clips, open_clip
from gpu_workers.codec.frames import BadFrames, Frame
from gpu_workers.codec.measure.complexity import DecoderCost
from gpu_workers.codec.measure.timing import DecoderFailed, DecodeTiming, time_decoding, warm
from gpu_workers.codec.measuring import Measured, measure
from gpu_workers.codec.network import network_cost
from gpu_workers.codec.phases import FRAMES, RECORDS, SCORES, STREAMS, SUFFIX, THUMBNAILS
from gpu_workers.codec.summary import ClipScores, Number, summarise
from gpu_workers.codec.thumbnails import thumbnail
from gpu_workers.codec.two_agents import beside_the_stream, decoder_side
from gpu_workers.device import device_class
from gpu_workers.phase import BoundClip, Box, Refuse
from lab.canonical import canonical_json

NETWORK_METRICS = ("decoder_kmac_px", "decoder_teraops_frame")
HOUR_S = 3600
WHY = 200  # characters of what the phase `encode` says


def score(box: Box) -> None:
    """Leaves `scores.json`, `frames.json` and `thumbnails/`."""
    (box.out / THUMBNAILS).mkdir()
    clips = {clip.name: clip for clip in coded_clips(box)}
    records = _records(box.inputs[f"encode/{RECORDS}"], clips)
    if not _alone(box):
        decoder_side(box).settle()
    measured = {name: _measure(box, clip) for name, clip in clips.items()}
    timed = {name: _time(box, name, one) for name, one in measured.items()}
    for name, one in measured.items():
        _leave_thumbnails(box, name, one, timed[name][1])
    (box.out / FRAMES).write_bytes(canonical_json({name: _per_frame(one) for name, one in measured.items()}))
    model_mb = sum(path.stat().st_size for path in beside_the_stream(box)) / 1e6
    found = {name: clip_scores(one, timed[name][0], records[name], clips[name].facts.get("source_mbps"), model_mb,
                               network_cost(box, one.path))
             for name, one in measured.items()}
    # Processor time too: the kernel's count of a family leaves out children whose parent ignores their end.
    claimed = ("encode_fps", "encode_cpu_s", "decode_cpu_s") if box.spec.code else ()
    scores = summarise(found, device_class(), _artefacts(box.out), claimed)
    (box.out / SCORES).write_bytes(canonical_json(scores))


def _records(path: Path, clips: Collection[str]) -> dict[str, EncodeRecord]:
    """What the phase `encode`, which nobody trusts, wrote of its own costs."""
    try:
        records = msgspec.json.decode(path.read_bytes(), type=dict[str, EncodeRecord])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refuse("bad_output", f"{RECORDS} cannot be read: {error}") from error
    if missing := set(clips) - records.keys():
        raise Refuse("bad_output", f"{RECORDS} lacks {', '.join(sorted(missing))}")
    return records


def _measure(box: Box, clip: BoundClip) -> Measured:
    reference = open_clip(clip)
    path = box.inputs[f"encode/{STREAMS}/"] / f"{clip.name}{SUFFIX}"
    if not path.is_file():
        raise Refuse("bad_output", f"{clip.name}: the encoder left no {STREAMS}/{path.name}")
    frames = len(reference)
    try:
        with _machine(box):
            return measure(reference, path, box.threads,
                           lambda done: box.progress(clip=clip.name, frame=done, frames=frames),
                           decoder_side(box))
    except DecoderFailed as error:
        raise Refuse(error.reason, f"{clip.name}: {error}") from error
    except (BadStream, BadFrames) as error:
        raise Refuse("bad_output", f"{clip.name}: {error}") from error


def _alone(box: Box) -> bool:
    """Whether nothing may run beside the decoder while it is measured: a box that is shown the clip could tell one from
    outside of it by how busy it keeps the machine. Exploring shares the machine, and is believed that much less."""
    return box.timed and box.spec.code is not None


@contextmanager
def _machine(box: Box) -> Iterator[None]:
    """Where it is measured alone, what it can read is settled once all the others stand still."""
    if not _alone(box):
        with box.machine.shared():
            yield
    else:
        with box.machine.exclusive():
            decoder_side(box).settle()
            yield


def _time(box: Box, name: str, one: Measured) -> tuple[DecodeTiming, dict[int, Frame]]:
    """Starting decoders is work like any other; the machine is ours alone for the decoding only."""
    try:
        with ExitStack() as stack:
            with box.machine.shared():
                decoders = stack.enter_context(warm(box.threads, side=decoder_side(box)))
            with box.machine.exclusive():
                box.progress(clip=name, note="timing the decoder")
                shown = frozenset(_shown(one).values())
                return time_decoding(decoders, one.path, one.reference.info, shown, one.spots)
    except DecoderFailed as error:
        raise Refuse(error.reason, f"{name}: {error}; it had decoded once before") from error
    except BadFrames as error:
        raise Refuse("bad_output", f"{name}: {error}") from error


def clip_scores(one: Measured, timing: DecodeTiming, record: EncodeRecord, source_mbps: float | None, model_mb: float,
                network: DecoderCost | str) -> ClipScores:
    """`network` is what its decoder's network costs, or why that is not known."""
    frames = len(one.reference)
    values: dict[str, Number] = {
        **one.quality.mean,
        "bitrate_mbps": one.bitrate_mbps,
        "amortised_mbps": one.bitrate_mbps + model_mb * 8 / HOUR_S,
        "model_mb": model_mb,
        "reduction_vs_source_pct": 100 * (1 - one.bitrate_mbps / source_mbps) if source_mbps else None,
        "encode_fps": frames / record.seconds if record.seconds else None,
        "encode_cpu_s": record.cpu_s,
        **msgspec.to_builtins(timing),
        "decode_peak_mb": one.decode_peak_mb,
        "worst_frame": one.worst_frame,
        "worst_psnr_y_db": one.quality.per_frame["psnr_y_db"][one.worst_frame],
        "key_bytes_pct": 100 * one.stream.key_bytes / one.stream.bytes,
        "overhead_bytes_frame": (one.stream.bytes - one.stream.data_bytes) / frames,
    }
    why = {**one.quality.why, "encode_fps": record.why[:WHY],
           "reduction_vs_source_pct": "the clip's facts have no source_mbps"}
    if isinstance(network, str):
        why |= dict.fromkeys(NETWORK_METRICS, network)
    else:
        values |= {"decoder_kmac_px": network.kmac_px, "decoder_teraops_frame": network.teraops_frame}
    return ClipScores(values=values, why=why)


def _per_frame(one: Measured) -> dict[str, Any]:
    info = one.reference.info
    return {"fps": float(info.fps), "worst_frames": one.quality.worst_frames(), "bytes": one.stream.frame_bytes,
            "models": one.quality.models, **one.quality.per_frame}


def _shown(one: Measured) -> dict[str, int]:
    return {"middle": len(one.reference) // 2, "worst": one.worst_frame}


def _leave_thumbnails(box: Box, name: str, one: Measured, kept: dict[int, Frame]) -> None:
    for which, number in _shown(one).items():
        for side, frame in (("original", one.reference[number]), ("decoded", kept[number])):
            target = box.out / THUMBNAILS / f"{name}-{which}-{side}.webp"
            target.write_bytes(thumbnail(frame, one.reference.info))


def _artefacts(out: Path) -> dict[str, str]:
    """The files kept beside the scores, under their own names; the worker puts their hashes in place of the latter."""
    names = [FRAMES, *sorted(f"{THUMBNAILS}/{file.name}" for file in (out / THUMBNAILS).iterdir())]
    return {name: name for name in names}
