"""What a 1080p key frame of `hyperprior` costs to decode, from bytes to planes, and how fast its symbols are decoded.

    python -m benchmarks.hyperprior [--repeats 3] [--threads 1]

Processor seconds of this process, the best of a few. Models are untrained and the picture is footage at about half a
bit a pixel: time depends on sizes, not on what the weights are. The bars are 1.0 s for the light variant, 4 s for the
standard one, and ten million symbols a second on one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from gpu_workers.codec.contract import Chunk, DecodeInfo, Frames, Kind, TrainInfo, TrainingLimit
from gpu_workers.codec.decoder import hyperprior as decoder
from gpu_workers.codec.decoder.entropy import Part, Unpacker, pack
from gpu_workers.codec.decoder.hyperprior_latents import Setup, Synthesis
from gpu_workers.codec.decoder.hyperprior_model import Shape, load_model
from gpu_workers.codec.families.hyperprior import chunks
from gpu_workers.codec.families.hyperprior_freeze import scale_tables
from gpu_workers.codec.families.hyperprior_train import learn
from gpu_workers.codec.measure.complexity import decoder_cost
from gpu_workers.codec.video import FrameReader

VIDEO = Path(__file__).resolve().parents[1] / "tests" / "data" / "video" / "drive_1080p30.mp4"
SYMBOLS_1080P = 192 * 68 * 120
VARIANTS = {
    "light, float": (Shape(), Synthesis.FLOAT, 1.0),
    "light, whole numbers": (Shape(), Synthesis.WHOLE, 1.0),
    "light, 128 latents": (Shape(channels=128, width=64), Synthesis.FLOAT, 1.0),
    "GDN 64": (Shape(transform="gdn", width=64, channels=96, post=0), Synthesis.FLOAT, 0.25),
    "standard: GDN 128": (Shape(transform="gdn", width=128, channels=192, post=0), Synthesis.FLOAT, 0.25),
}


class First:
    """The first frame of the footage alone."""

    def __init__(self, reader: FrameReader) -> None:
        self.info = msgspec.structs.replace(reader.format, frames=1)
        self._frame = reader[0]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self._frame

    def __iter__(self) -> Any:
        yield self._frame


def best_cpu_s(repeats: int, call: Callable[[], Any]) -> float:
    found = []
    for _ in range(repeats):
        begin = time.process_time()
        call()
        found.append(time.process_time() - begin)
    return min(found)


def symbols_a_second(repeats: int) -> tuple[float, float]:
    """Millions encoded and decoded: as many as a 1080p frame has, spread over the tables as trained models do."""
    rng, tables = np.random.default_rng(0), scale_tables()
    which = np.clip(rng.exponential(7, SYMBOLS_1080P), 0, 63).astype(np.uint8)
    scales = 0.11 * 2 ** (np.arange(64) / 7)
    symbols = np.rint(rng.standard_normal(SYMBOLS_1080P) * scales[which]).astype(np.int32)
    data = pack([Part(tables, which, symbols)])
    encode_s = best_cpu_s(repeats, lambda: pack([Part(tables, which, symbols)]))
    decode_s = best_cpu_s(repeats, lambda: Unpacker(data).take(tables, which))
    return SYMBOLS_1080P / encode_s / 1e6, SYMBOLS_1080P / decode_s / 1e6


def row(name: str, clip: Frames, folder: Path, repeats: int, threads: int) -> list[str]:
    shape, synthesis, step = VARIANTS[name]
    params = {"price": 0.005, "chroma": 1.0, "rate": 0.001, "crop": 128}
    model = learn([clip], TrainInfo(params=params, scratch=folder, limit=TrainingLimit(steps=0)), shape)
    coded = list(chunks(clip, clip.info, load_model(model), Setup.for_step(step, synthesis)))
    pictures = decoder.Pictures(load_model(model), Setup.from_bytes(coded[0].data), clip.info)
    (key,) = (chunk for chunk in coded if chunk.kind is Kind.KEY)
    list(decoder.decode(iter(coded), DecodeInfo(video=clip.info, threads=threads), model))  # warm, and sets the threads
    seconds = best_cpu_s(repeats, lambda: list(pictures.decode(key.data)))
    return [name, f"{kmac_px(clip, coded, model, folder):.1f}", f"{8 * len(key.data) / 1920 / 1080:.2f}",
            f"{seconds:.2f}", f"{model.stat().st_size / 1e6:.1f}"]


def kmac_px(clip: Frames, coded: list[Chunk], model: Path, folder: Path) -> float:
    from gpu_workers.codec.encoding import stream_header, write_stream

    path = folder / "one.aec"
    write_stream(coded, path, stream_header(clip.info, "hyperprior"), lambda done: None)
    (graph, inputs), = decoder.graphs(path, model)
    return decoder_cost(graph, inputs, clip.info.width, clip.info.height).kmac_px


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    encode, decode = symbols_a_second(options.repeats)
    table = Table("variant", "kMAC/px", "bits/px", "CPU s a frame", "model MB", title="decoding a 1080p key frame",
                  caption=f"symbols: {encode:.0f} million a second encoded, {decode:.0f} decoded")
    clip = First(FrameReader(VIDEO))
    with TemporaryDirectory() as folder:
        for name in VARIANTS:
            table.add_row(*row(name, clip, Path(folder), options.repeats, options.threads))
    Console().print(table)


if __name__ == "__main__":
    main()
