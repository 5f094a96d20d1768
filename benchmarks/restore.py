"""What the family `restore` saves: bytes against SVT-AV1's own rate-distortion curve, at equal PSNR-Y, SSIM and VMAF.

    python -m benchmarks.restore [--clips drive_1080p30 …] [--crf 64 66] [--channels 16] [--steps 2400] [--threads 1]

The curve is SVT-AV1 preset 6 at full size in the same container (family `classic`), with the same depth and key
frames; both sides are decoded by a fresh process from the bytes that are counted. Net counts all of them, gross leaves
the filter's weights out. Negative is fewer bytes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
# crf of the curve's points, and those that the family is asked for: about 1.0, 0.6, 0.5 and 0.4 Mbps on drive
CURVES: Mapping[str, Sequence[float]] = {"drive_1080p30": (52, 56, 58, 60, 61, 62, 63, 64, 66, 68, 70)}
ASKED: Mapping[str, Sequence[float]] = {"drive_1080p30": (61.5, 64, 66, 68)}
OTHER_CURVE: Sequence[float] = (30, 35, 40, 45, 50, 55, 60, 63, 66, 70)
OTHER_ASKED: Sequence[float] = (42, 60)
CLIPS = ("drive_1080p30", "flower_720p30", "night_540p50", "rooftop_720p30", "talk_540x720p30", "walk_480p30")
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
    """A stream of the family beside the curve: by how many percent its bytes differ from the curve's for the same."""

    clip: str
    crf: float
    point: Point
    gross_pct: Mapping[str, float | None]
    net_pct: Mapping[str, float | None]


def rows(clip: str, crfs: Sequence[float], channels: int, steps: int, threads: int) -> Iterator[Row]:
    frames, asked = FrameReader(FOOTAGE / f"{clip}.mp4"), crfs or ASKED.get(clip, OTHER_ASKED)
    # The asked ones lie on the curve too: what took nothing costs nothing, and no interpolation has a say in that.
    curve = [classic(frames, crf, threads) for crf in sorted({*CURVES.get(clip, OTHER_CURVE), *asked})]
    for crf in asked:
        params = {"crf": float(crf), "scale": "auto", **COMMON, "channels": channels, "mode": "overfitted",
                  "steps": steps}  # fmt: skip
        point = coded(frames, "restore", params, threads)
        gross, net = ({metric: _against(curve, metric, point, mbps) for metric in METRICS}
                      for mbps in (point.mbps * (1 - point.weights / point.bytes), point.mbps))  # fmt: skip
        yield Row(clip, crf, point, gross, net)


def classic(frames: FrameReader, crf: float, threads: int) -> Point:
    params = as_people_run("svtav1", svtav1_crf=float(crf), svtav1_preset=PRESET, **COMMON)
    return coded(frames, "classic", params, threads)


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


def table(shown: Sequence[Row]) -> Table:
    found = Table("clip", "crf", "Mbps", "choice", "weights B", *(
        f"{metric} {what} %" for metric in METRICS for what in ("gross", "net")))
    for one in shown:
        cells = [_cell(part[metric]) for metric in METRICS for part in (one.gross_pct, one.net_pct)]
        point = one.point
        found.add_row(one.clip, f"{one.crf:g}", f"{point.mbps:.3f}", point.choice, str(point.weights), *cells)
    return found


def _cell(value: float | None) -> str:
    return "outside" if value is None else f"{value:+.1f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--clips", nargs="*", default=CLIPS)
    options.add_argument("--crf", nargs="*", type=float, default=())
    options.add_argument("--channels", type=int, default=16)
    options.add_argument("--steps", type=int, default=2400)
    options.add_argument("--threads", type=int, default=1)
    asked = options.parse_args()
    console, done = Console(width=200), list[Row]()
    for clip in asked.clips:
        for one in rows(clip, asked.crf, asked.channels, asked.steps, asked.threads):
            done.append(one)
            console.print(table([one]))
    console.print(table(done))


if __name__ == "__main__":
    main()
