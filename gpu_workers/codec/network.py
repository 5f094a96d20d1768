"""What the network of a stream's decoder costs, counted by our own code on the graph that runs; or why that is unknown.

A built-in family's decoding agent hands over the networks that it runs for a stream, through `graphs(stream, model)`:
for each, the torch module that decodes one frame and the inputs that it gets. Code of ours counts them. A candidate's
agent could hand over anything, so its figure stays unknown until the harness itself can hold its graph.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from gpu_workers.codec.decoder.container import Reader
from gpu_workers.codec.decoder.decode import AGENTS
from gpu_workers.codec.measure.complexity import DecoderCost, decoder_cost
from gpu_workers.codec.phases import CODE
from gpu_workers.codec.two_agents import frozen_model
from gpu_workers.phase import Box

NO_NETWORK = "not applicable: the decoder has no network"
CLAIMED = "not known: the decoder is code from outside, which nobody here has counted"
NOTHING = DecoderCost(kmac_px=0.0, teraops_frame=0.0, teraops_frame_1080p=0.0)


def network_cost(box: Box, stream: Path) -> DecoderCost | str:
    """The dearest network's cost a frame, nothing where the stream runs none; in words why it is not known."""
    if CODE in box.inputs:
        return CLAIMED
    agent = import_module(str(AGENTS[box.spec.family]))
    if not hasattr(agent, "graphs"):
        return NO_NETWORK
    return stream_cost(agent, stream, frozen_model(box))


def stream_cost(agent: object, stream: Path, model: Path | None) -> DecoderCost:
    with stream.open("rb") as file:
        header = Reader(file).header
    costs = [decoder_cost(module, inputs, header.width, header.height)
             for module, inputs in agent.graphs(stream, model)]  # type: ignore[attr-defined]
    return max(costs, key=lambda cost: cost.kmac_px, default=NOTHING)
