"""What the canary runs in a box on behalf of this track: eight small frames through each of the three encoders.

They start threads, ask for priorities, look at the processor and write through pipes: under a list of allowed system
calls that is where a new release of an encoder, or another kernel, would show first.
"""

from __future__ import annotations

import numpy as np

from gpu_workers.codec.families import ffmpeg
from gpu_workers.codec.families.arguments import encoder_arguments
from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.frames import Frame, VideoInfo
from gpu_workers.phase import Box, Refuse
from lab.errors import AetherError
from lab.space import Value

FRAMES, WIDTH, HEIGHT = 8, 128, 64
ENCODERS: dict[str, dict[str, Value]] = {"svtav1": {"svtav1_crf": 40.0, "svtav1_preset": 12},
                                         "x265": {"x265_crf": 30.0, "x265_preset": "ultrafast"},
                                         "vvenc": {"vvenc_qp": 36, "vvenc_preset": "faster"}}


def encode_eight_frames(box: Box) -> None:
    """Raises Refuse, naming the encoder that does not run here."""
    layout = VideoInfo(width=WIDTH, height=HEIGHT, fps_num=30, fps_den=1, frames=FRAMES, pix_fmt="yuv420p")
    pictures = [_picture(number, layout) for number in range(FRAMES)]
    for codec, params in ENCODERS.items():
        arguments = [*encoder_arguments(as_people_run(codec, **params), box.threads, 1, box.out / "stats"),
                     "-pix_fmt", "yuv420p10le" if codec == "vvenc" else "yuv420p"]
        try:
            units = list(ffmpeg.encode(pictures, layout, arguments))
        except AetherError as error:
            raise Refuse("crash", f"{codec}: {error}") from error
        if len(units) != FRAMES:
            raise Refuse("crash", f"{codec} gave {len(units)} pictures for {FRAMES}")


def _picture(number: int, layout: VideoInfo) -> Frame:
    """A ramp that moves, so that there is something to code."""
    planes = [(np.add.outer(np.arange(rows), np.arange(columns)) + 3 * number) % 256
              for rows, columns in layout.plane_shapes]
    return Frame(tuple(plane.astype(np.uint8) for plane in planes))
