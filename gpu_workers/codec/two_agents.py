"""The two agents of an experiment: where their code lies, and the model that stands between them.

A built-in family's agents are modules of ours; a candidate's are two files from its bundle, which the worker laid out.
The encoding side may be asked to train. The decoding side gets what its process needs as arguments, and no more.
"""

from __future__ import annotations

from pathlib import Path

from gpu_workers.codec.families import ENCODERS
from gpu_workers.codec.measure.decoder_side import DecoderSide
from gpu_workers.codec.phases import CODE, DECODING_AGENT, ENCODING_AGENT, MODEL
from gpu_workers.phase import Box, Refuse
from gpu_workers.sandbox.devices import probe
from gpu_workers.sandbox.plan import Devices

HEADER_BYTES = 1 << 20  # of a safetensors file


def encoding_agent(box: Box) -> str | Path:
    """A module's name, or the candidate's file. Raises Refuse for a family that is not known here."""
    if CODE in box.inputs:
        return box.inputs[CODE] / ENCODING_AGENT
    if box.spec.family not in ENCODERS:
        raise Refuse("refused", f"no family {box.spec.family!r}; there are {', '.join(ENCODERS)}")
    return ENCODERS[box.spec.family]


def frozen_model(box: Box) -> Path | None:
    """The frozen weights that `train` left, or None for a codec without any. Raises Refuse where their header is no
    header of weights: some libraries take half a minute and a gigabyte to find out."""
    weights = box.inputs.get(f"train/{MODEL}")
    if weights is not None:
        with weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if length > HEADER_BYTES:
            raise Refuse("bad_output", f"the weights' header has {length} bytes, and {HEADER_BYTES} are allowed")
    return weights


def beside_the_stream(box: Box) -> list[Path]:
    """The files that a decoder needs once, whatever it decodes: none for a classic one. Source from outside is among
    them, since data can be written as source."""
    weights = frozen_model(box)
    return [*([weights] if weights else []), *([box.inputs[CODE] / DECODING_AGENT] if CODE in box.inputs else [])]


def decoder_side(box: Box) -> DecoderSide:
    """The frozen weights and the candidate's decoding agent, in a box where the machine has any."""
    agent = (box.spec.family, box.inputs[CODE] / DECODING_AGENT) if CODE in box.inputs else None
    devices = probe() if box.spec.job_class == "gpu" else Devices()
    return DecoderSide(frozen_model(box), agent, box.box_mb, devices)
