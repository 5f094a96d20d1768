"""What the family `restore` saves: bytes against SVT-AV1's own rate-distortion curve, at equal PSNR-Y, SSIM and VMAF.

    python -m benchmarks.restore [--clips drive_1080p30 …] [--crf 63 64] [--channels 16] [--steps 3000] [--threads 2]

The curve is SVT-AV1 preset 6 at full size in the same container (family `classic`), with the same depth and key
frames; both sides are decoded by a fresh process from the bytes that are counted. Net counts all of them, gross leaves
the filter's weights out. Negative is fewer bytes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gpu_workers.codec.contract import Kind
from gpu_workers.codec.decoder.container import Reader
from gpu_workers.codec.decoder.restore import Origin, Setup
from gpu_workers.codec.decoder.restore_filter import Filter
from gpu_workers.codec.encoding import encode_stream
from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.families.restore_space import PRESET
from gpu_workers.codec.measure.quality import Quality
from gpu_workers.codec.measure.savings import saving_pct
from gpu_workers.codec.measure.timing import started
from gpu_workers.codec.video import FrameReader
from lab.space import Value

FOOTAGE = Path(__file__).resolve().parents[1] / "tests" / "data" / "video"
METRICS = ("psnr_y_db", "ssim", "vmaf")
ASKED: Mapping[str, Sequence[float]] = {  # crf; drive's are about 1.0, 0.6, 0.5 and 0.4 Mbps
    "drive_1080p30": (61.5, 63.0, 64.0, 66.0), "flower_720p30": (45.0, 60.0), "night_540p50": (45.0, 60.0),
    "rooftop_720p30": (45.0, 60.0), "talk_540x720p30": (40.0, 58.0), "walk_480p30": (45.0, 60.0),
}  # fmt: skip
AROUND = (-4.0, -2.0, 0.0, 2.0, 4.0)  # crf of the curve's points about the one that is asked for
COMMON: Mapping[str, Value] = {"gop_frames": 256, "bit_depth": 8}


@dataclass(frozen=True)
class Point:
    """One stream: its bytes, those of them that are weights, its rate and what it is worth by each metric."""

    bytes: int
    weights: int
    mbps: float
    choice: str
    worth: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """A stream of the family beside the curve: percent of the bytes that the curve takes for the same, minus 100."""

    clip: str
    crf: float
    point: Point
    plain_mbps: float
    gross_pct: Mapping[str, float | None]
    net_pct: Mapping[str, float | None]


def row(clip: str, crf: float, channels: int, steps: int, threads: int) -> Row:
    frames = FrameReader(FOOTAGE / f"{clip}.mp4")
    curve = [classic(frames, min(max(crf + step, 15.0), 70.0), threads) for step in AROUND]
    params = {"crf": crf, "scale": "auto", **COMMON, "channels": channels, "mode": "overfitted", "steps": steps}
    point = coded(frames, "restore", params, threads)
    return Row(clip, crf, point, curve[AROUND.index(0.0)].mbps, *(
        {metric: _against(curve, metric, point, mbps) for metric in METRICS}
        for mbps in (point.mbps * (1 - point.weights / point.bytes), point.mbps)))


def classic(frames: FrameReader, crf: float, threads: int) -> Point:
    return coded(frames, "classic", as_people_run("svtav1", svtav1_crf=crf, svtav1_preset=PRESET, **COMMON), threads)


def coded(frames: FrameReader, family: str, params: Mapping[str, Value], threads: int) -> Point:
    with tempfile.TemporaryDirectory(prefix="aether-bench-") as folder:
        path = Path(folder) / "coded.aec"
        record = encode_stream(frames, path, family, params, 1, threads)
        mbps = record.bytes * 8e-6 / frames.info.duration_s
        choice, weights = _chosen(path) if family == "restore" else ("", 0)
        return Point(record.bytes, weights, mbps, choice, _worth(frames, path, threads))


def _worth(frames: FrameReader, path: Path, threads: int) -> dict[str, float]:
    with (started(threads) as decoder,
          Quality(frames, frames.info, threads=threads, extras=False) as quality):  # fmt: skip
        decoder.deliver(path)
        for frame in decoder.frames(frames.info):
            quality.add(frame)
        mean = quality.result().mean
    return {metric: value for metric in METRICS if (value := mean[metric]) is not None}


def _chosen(path: Path) -> tuple[str, int]:
    """What the encoder took for each shot, in words, and the bytes of all the weights."""
    shots, weights = list[str](), 0
    with path.open("rb") as file:
        reader = Reader(file)
        for chunk in reader:
            if chunk.kind is Kind.CONFIG:
                setup = Setup.from_bytes(chunk.data)
                share = setup.coding.width / reader.header.width
                net = "" if setup.origin is Origin.NONE else f" + {setup.origin.name.lower()}"
                shots.append(f"{share:.2f}{net}")
            elif chunk.kind is Kind.WEIGHTS:
                weights += len(chunk.data)
                shots[-1] += f" c{Filter.from_bytes(chunk.data).channels}"
    return ", ".join(shots), weights


def _against(curve: Sequence[Point], metric: str, point: Point, mbps: float) -> float | None:
    saved, _ = saving_pct([(one.mbps, one.worth[metric]) for one in curve], mbps, point.worth[metric])
    return None if saved is None else -saved


def table(rows: Sequence[Row]) -> Table:
    shown = Table("clip", "crf", "full Mbps", "Mbps", "choice", "weights B", *(
        f"{metric} {what} %" for metric in METRICS for what in ("gross", "net")))
    for one in rows:
        cells = [_cell(part[metric]) for metric in METRICS for part in (one.gross_pct, one.net_pct)]
        shown.add_row(one.clip, f"{one.crf:g}", f"{one.plain_mbps:.3f}", f"{one.point.mbps:.3f}", one.point.choice,
                      str(one.point.weights), *cells)
    return shown


def _cell(value: float | None) -> str:
    return "outside" if value is None else f"{value:+.1f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--clips", nargs="*", default=list(ASKED))
    options.add_argument("--crf", nargs="*", type=float, default=None)
    options.add_argument("--channels", type=int, default=16)
    options.add_argument("--steps", type=int, default=3000)
    options.add_argument("--threads", type=int, default=2)
    asked = options.parse_args()
    rows = list[Row]()
    for clip in asked.clips:
        for crf in asked.crf or ASKED[clip]:
            rows.append(row(clip, crf, asked.channels, asked.steps, asked.threads))
            Console(width=200).print(table(rows[-1:]))
    Console(width=200).print(table(rows))


if __name__ == "__main__":
    main()
