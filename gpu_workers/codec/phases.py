"""The phases of a codec experiment as plain data: what each sees and leaves, and whether its code is trusted.

A classic codec encodes and is scored. Decoding happens inside `score`, in a fresh process that gets the bitstream and
nothing else. The clips that are coded are those of the roles `score` and `confirm`: an experiment's clip set holds
either of the two, never both.
"""

from __future__ import annotations

from lab.experiment import Spec
from lab.track import Phase

STREAMS = "streams"
SUFFIX = ".aec"
RECORDS = "encode.json"
SCORES = "scores.json"
FRAMES = "frames.json"
THUMBNAILS = "thumbnails"
CODED_ROLES = ("score", "confirm")

ENCODE = Phase(name="encode", entry="gpu_workers.codec.encoding:encode", inputs=("clips:score", "clips:confirm"),
               outputs=(f"{STREAMS}/", RECORDS), limit_s=1200)
SCORE = Phase(name="score", entry="gpu_workers.codec.scoring:score",
              inputs=("clips:score", "clips:confirm", f"encode/{STREAMS}/", f"encode/{RECORDS}"),
              outputs=(SCORES, FRAMES, f"{THUMBNAILS}/"), trusted=True, limit_s=1200)


def phases(spec: Spec) -> tuple[Phase, ...]:
    return (ENCODE, SCORE)
