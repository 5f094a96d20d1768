"""Frames coded one by one against frames transformed together along time, on one clip that neither was trained on.

    python -m benchmarks.hyperprior_time [--cpu-s 60] [--frames 4]

Both variants of `hyperprior` get the same processor seconds on the other clips, and code the first eight frames of the
clip at several steps. Bytes are the chunks' own; PSNR is of luma, the mean over frames.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.hyperprior_curve import DATA, split
from gpu_workers.codec.contract import Chunk, DecodeInfo, Frame, TrainInfo, TrainingLimit
from gpu_workers.codec.decoder import hyperprior as decoder
from gpu_workers.codec.decoder.hyperprior_latents import Setup, Synthesis
from gpu_workers.codec.decoder.hyperprior_model import Shape, load_model
from gpu_workers.codec.families.hyperprior import chunks
from gpu_workers.codec.families.hyperprior_train import learn
from gpu_workers.codec.video import FrameReader

CLIP = "flower_720p30"
FRAMES = 8
STEPS = (0.5, 1.0, 2.0)
PARAMS = {"price": 0.005, "chroma": 1.0, "rate": 0.001, "crop": 128}


class Beginning:
    """The first frames of a clip, in memory."""

    def __init__(self, reader: FrameReader, count: int) -> None:
        self._frames = [frame for frame, _ in zip(reader, range(count), strict=False)]
        self.info = msgspec.structs.replace(reader.format, frames=count)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        return self._frames[index]

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)


def trained(folder: Path, frames: int, cpu_s: float) -> Path:
    begin = time.process_time()
    clips = [FrameReader(DATA / "video" / f"{name}.mp4") for name in split()["train_clips"] if name != CLIP]
    info = TrainInfo(params=PARAMS, scratch=folder, limit=TrainingLimit(seconds=cpu_s), seed=1)
    shape = Shape(channels=128, width=64, frames=frames)
    return learn(clips, info, shape, clock=lambda: time.process_time() - begin)


def point(model: Path, clip: Beginning, step: float) -> tuple[float, float]:
    """Bits a pixel and PSNR of luma."""
    coded: list[Chunk] = list(chunks(clip, clip.info, load_model(model), Setup.for_step(step, Synthesis.FLOAT)))
    frames = decoder.decode(iter(coded), DecodeInfo(video=clip.info), model)
    errors = [np.square(a.planes[0].astype(float) - b.planes[0]).mean() for a, b in zip(clip, frames, strict=True)]
    bits = 8 * sum(len(chunk.data) for chunk in coded) / (len(clip) * clip.info.width * clip.info.height)
    return bits, float(np.mean(10 * np.log10(255**2 / np.array(errors))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cpu-s", type=float, default=60.0, help="of training, for each")
    parser.add_argument("--frames", type=int, default=4, help="that are transformed together")
    options = parser.parse_args()
    clip = Beginning(FrameReader(DATA / "video" / f"{CLIP}.mp4"), FRAMES)
    table = Table("frames", *(f"step {step:g}: bits/px, dB" for step in STEPS), title=f"{CLIP}, {FRAMES} frames")
    for frames in (1, options.frames):
        with TemporaryDirectory() as folder:
            model = trained(Path(folder), frames, options.cpu_s)
            points = [point(model, clip, step) for step in STEPS]
        table.add_row(str(frames), *(f"{bits:.4f}, {quality:.2f}" for bits, quality in points))
    Console().print(table)


if __name__ == "__main__":
    main()
