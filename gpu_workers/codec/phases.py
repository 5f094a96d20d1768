"""The phases of a codec experiment as plain data: what each sees and leaves, and whether its code is trusted.

A codec that learns is trained, and its weights are stored under their hash before any clip that is scored is bound to
a phase. Then it encodes and is scored. Decoding happens inside `score`, in a fresh process that gets the model and the
bitstream and nothing else. The clips that are coded are those of the roles `score` and `confirm`: an experiment's clip
set holds either of the two, never both.
"""

from __future__ import annotations

from lab.experiment import Spec, TrainingLimit
from lab.track import Phase

STREAMS = "streams"
SUFFIX = ".aec"
RECORDS = "encode.json"
SCORES = "scores.json"
FRAMES = "frames.json"
THUMBNAILS = "thumbnails"
CODED_ROLES = ("score", "confirm")
MODEL = "weights.safetensors"
CHECKPOINT = "checkpoint.safetensors"
TRAINING = "training.json"
CODE = "code/"  # the input that a candidate's bundle is laid out as
ENCODING_AGENT, DECODING_AGENT = "encoding_agent.py", "decoding_agent.py"
TRAIN_LIMIT_S = 12 * 3600.0
STARTING_S, SLACK = 120.0, 1.2  # around a training by the clock: libraries, the first frames, the last step


def phases(spec: Spec) -> tuple[Phase, ...]:
    """A spec with a training limit is trained first; one with a code bundle brings its own agents."""
    code = (CODE,) if spec.code else ()
    weights = (f"train/{MODEL}",) if spec.limit else ()
    return (*((_train(code, spec.limit),) if spec.limit else ()), _encode(code + weights), _score(code + weights))


def _train(more: tuple[str, ...], limit: TrainingLimit) -> Phase:
    asked_s = STARTING_S + SLACK * limit.seconds if limit.seconds else 0.0
    return Phase(name="train", entry="gpu_workers.codec.learning:train", inputs=("clips:train", *more),
                 outputs=(MODEL, TRAINING), live=CHECKPOINT, limit_s=TRAIN_LIMIT_S, asked_s=asked_s)


def _encode(more: tuple[str, ...]) -> Phase:
    return Phase(name="encode", entry="gpu_workers.codec.encoding:encode",
                 inputs=("clips:score", "clips:confirm", *more), outputs=(f"{STREAMS}/", RECORDS), timed=True,
                 limit_s=1200)


def _score(more: tuple[str, ...]) -> Phase:
    return Phase(name="score", entry="gpu_workers.codec.scoring:score",
                 inputs=("clips:score", "clips:confirm", f"encode/{STREAMS}/", f"encode/{RECORDS}", *more),
                 outputs=(SCORES, FRAMES, f"{THUMBNAILS}/"), trusted=True, timed=True, limit_s=1200)
