"""What a `hyperprior` model makes of photographs it has never seen, beside JPEG, WebP and AVIF.

    python -m benchmarks.hyperprior_curve [--cpu-s 60] [--model FILE] [--picture FILE]

Trains for so many processor seconds (1,200 for the figures in docs/hyperprior.md), or takes a model, and codes the test
photographs of `tests/data/hyperprior_split.json`. All bytes count: the whole `.aec` with its header and index, decoded
by the decoder that everybody runs, against whole files of the others. Pictures are coded as 4:4:4 frames of Pillow's
YCbCr, which is also JPEG's. A saving is in bytes at equal PSNR on the other's own curve, the mean over pictures.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from gpu_workers.codec.contract import Frame, Frames, TrainInfo, TrainingLimit, VideoInfo
from gpu_workers.codec.decoder.decode import Decoded
from gpu_workers.codec.encoding import encode_stream
from gpu_workers.codec.video import FrameReader
from lab.canonical import sha256
from lab.space import Value

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
PARAMS: Mapping[str, Value] = {
    "transform": "dct16", "channels": 192, "frames": 1, "synthesis": "float", "price": 0.005, "step": 1.0,
    "chroma": 1.0, "rate": 0.001, "crop": 192,
}  # fmt: skip
STEPS = (0.5, 0.7, 1.0, 1.4, 2.0)
QUALITIES: Mapping[str, Sequence[int]] = {"JPEG": range(4, 96, 3), "WebP": range(1, 96, 5), "AVIF": range(10, 90, 5)}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "JPEG": {"optimize": True, "subsampling": "4:2:0"}, "WebP": {"method": 6}, "AVIF": {"subsampling": "4:2:0"},
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One coding of one picture: whole bytes, and PSNR of R, G and B together and of luma."""

    bytes: int
    rgb_db: float
    y_db: float


@dataclass(frozen=True)
class Still:
    """A photograph as a video of one frame."""

    rgb: np.ndarray[Any, np.dtype[np.uint8]]

    @property
    def info(self) -> VideoInfo:
        rows, columns = self.rgb.shape[:2]
        return VideoInfo(width=columns, height=rows, fps_num=25, fps_den=1, frames=1, pix_fmt="yuv444p",
                         full_range=True, matrix="bt601")

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Frame:
        ycc = np.asarray(Image.fromarray(self.rgb).convert("YCbCr"))
        return Frame(tuple(np.ascontiguousarray(ycc[..., place]) for place in range(3)))

    def __iter__(self) -> Iterator[Frame]:
        yield self[0]


@cache
def still(name: str) -> Still:
    with Image.open(DATA / "photo" / name) as image:
        return Still(np.asarray(image.convert("RGB")))


def split() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads((DATA / "hyperprior_split.json").read_text())
    return found


def train_clips() -> list[Frames]:
    names = split()
    return [*(FrameReader(DATA / "video" / f"{name}.mp4") for name in names["train_clips"]),
            *(still(name) for name in names["train_photographs"])]


def trained(folder: Path, cpu_s: float, progress: Callable[..., None] = lambda **claims: None) -> Path:
    """A model that had so many processor seconds, reading the footage included."""
    from gpu_workers.codec.families.hyperprior import shape_of
    from gpu_workers.codec.families.hyperprior_train import learn

    limit = TrainingLimit(seconds=cpu_s) if cpu_s else TrainingLimit(steps=0)
    info = TrainInfo(params=PARAMS, scratch=folder, limit=limit, seed=1, progress=progress)
    begin = time.process_time()
    return learn(train_clips(), info, shape_of(PARAMS), clock=lambda: time.process_time() - begin)


def learned_point(model: Path, name: str, step: float, more: Mapping[str, Value] | None = None) -> Point:
    """Codes one photograph and decodes its bytes."""
    picture = still(name)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "picture.aec"
        encode_stream(picture, path, "hyperprior", {**PARAMS, **(more or {}), "step": step}, 0, 1, model=model)
        with path.open("rb") as file:
            (frame,) = Decoded(file, models={sha256(model.read_bytes()): model})
        ycc = Image.fromarray(np.stack(frame.planes, axis=-1), "YCbCr")
        return _point(path.stat().st_size, picture.rgb, np.asarray(ycc.convert("RGB")))


@cache
def classic_curve(name: str, other: str) -> tuple[Point, ...]:
    """The points of JPEG, WebP or AVIF, by rising size."""
    picture = still(name).rgb
    points = []
    for quality in QUALITIES[other]:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, other, quality=quality, **OPTIONS[other])
        points.append(_point(len(file.getvalue()), picture, np.asarray(Image.open(file).convert("RGB"))))
    return tuple(sorted(points, key=lambda point: point.bytes))


def saving_pct(point: Point, curve: Sequence[Point], metric: str) -> float | None:
    """Bytes fewer than the curve needs for the same PSNR, negative where more; None where the curve does not reach."""
    quality, size = (np.array([float(getattr(one, field)) for one in curve]) for field in (metric, "bytes"))
    order, wanted = np.argsort(quality), getattr(point, metric)
    if not quality.min() <= wanted <= quality.max():
        return None
    return float(100 * (1 - point.bytes / np.exp(np.interp(wanted, quality[order], np.log(size[order])))))


def bits_px(point: Point, name: str) -> float:
    return 8 * point.bytes / (still(name).rgb.size / 3)


def summary(points: Mapping[str, Point]) -> dict[str, float | None]:
    """Means over pictures: bits a pixel, dB, and the savings against each of the others, if they reach all of them."""
    found: dict[str, float | None] = {
        "bits_px": float(np.mean([bits_px(point, name) for name, point in points.items()])),
        "rgb_db": float(np.mean([point.rgb_db for point in points.values()])),
        "y_db": float(np.mean([point.y_db for point in points.values()])),
    }
    for other in QUALITIES:
        for metric in ("rgb_db", "y_db"):
            savings = [saving_pct(point, classic_curve(name, other), metric) for name, point in points.items()]
            known = [one for one in savings if one is not None]
            found[f"{other} {metric}"] = float(np.mean(known)) if len(known) == len(savings) else None
    return found


def _point(size: int, original: np.ndarray[Any, Any], decoded: np.ndarray[Any, Any]) -> Point:
    luma = [np.asarray(Image.fromarray(one).convert("YCbCr"))[..., 0] for one in (original, decoded)]
    return Point(size, _psnr_db(original, decoded), _psnr_db(*luma))


def _psnr_db(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    return float(10 * np.log10(255**2 / max(float(np.square(a.astype(float) - b).mean()), 1e-9)))


def draw(path: Path, learned: Mapping[str, Sequence[Point]]) -> None:
    """PSNR of RGB over rate, one small chart a photograph."""
    from matplotlib import pyplot

    figure, charts = pyplot.subplots(2, 4, figsize=(16, 8), layout="constrained")
    for chart, (name, points) in zip(charts.flat, learned.items(), strict=False):
        for other in QUALITIES:
            curve = [one for one in classic_curve(name, other) if bits_px(one, name) < 2 * bits_px(points[0], name)]
            chart.plot([bits_px(one, name) for one in curve], [one.rgb_db for one in curve], label=other)
        chart.plot([bits_px(one, name) for one in points], [one.rgb_db for one in points], "k.-", label="hyperprior")
        chart.set(title=name.split(".")[0], xlabel="bits a pixel", ylabel="PSNR of RGB, dB")
    charts.flat[-1].axis("off")
    charts.flat[-1].legend(*charts.flat[0].get_legend_handles_labels(), loc="center")
    figure.savefig(path, dpi=70)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cpu-s", type=float, default=60.0, help="of training")
    parser.add_argument("--model", type=Path, help="instead of training")
    parser.add_argument("--picture", type=Path, help="where to draw the curves")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        model = options.model or trained(Path(folder), options.cpu_s)
        names = split()["test_photographs"]
        learned = {name: [learned_point(model, name, step) for step in STEPS] for name in names}
    columns = ["step", "bits/px", "RGB dB", "Y dB", *(f"{one} {what} %" for one in QUALITIES for what in ("RGB", "Y"))]
    table = Table(*columns, title="bytes saved at equal PSNR, mean of seven photographs")
    for place, step in enumerate(STEPS):
        found = summary({name: points[place] for name, points in learned.items()})
        table.add_row(f"{step:g}", *(f"{found.pop(key):.2f}" for key in ("bits_px", "rgb_db", "y_db")),
                      *("–" if value is None else f"{value:+.1f}" for value in found.values()))
    Console(width=120).print(table)
    if options.picture:
        draw(options.picture, learned)


if __name__ == "__main__":
    main()
