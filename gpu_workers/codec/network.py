"""What the network of a stream's decoder costs, counted by our own code on the graph that runs; or why that is unknown.

A built-in family's decoding agent says itself what it runs for a stream, through `cost(stream, model)`: code of ours. A
candidate's could say anything, so its figure stays unknown until the harness itself can hold its graph.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from gpu_workers.codec.decoder.decode import AGENTS
from gpu_workers.codec.measure.complexity import DecoderCost
from gpu_workers.codec.phases import CODE
from gpu_workers.codec.two_agents import frozen_model
from gpu_workers.phase import Box

NO_NETWORK = "not applicable: the decoder has no network"
CLAIMED = "not known: the decoder is code from outside, which nobody here has counted"


def network_cost(box: Box, stream: Path) -> DecoderCost | str:
    """The dearest segment's cost a frame, or in words why there is none. Reads the stream's chunks, never its code."""
    if CODE in box.inputs:
        return CLAIMED
    agent = import_module(str(AGENTS[box.spec.family]))
    counted = getattr(agent, "cost", None)
    if counted is None:
        return NO_NETWORK
    found: DecoderCost | None = counted(stream, frozen_model(box))
    return found or DecoderCost(kmac_px=0.0, teraops_frame=0.0, teraops_frame_1080p=0.0)
