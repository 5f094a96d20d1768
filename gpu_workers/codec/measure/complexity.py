"""What a learned decoder costs: multiply-accumulates a pixel and tera-operations a frame, counted on its real graph.

`torch.utils.flop_counter` runs the module once and counts what is executed, two operations a multiply-accumulate.
thop is not used: it counts a transposed convolution by its output positions, four times too many at stride 2.
Convolutions and matrix products are counted; activations and element-wise work are not, as in the field's tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import msgspec

from lab.errors import UserError

_PIXELS_1080P = 1920 * 1080


class DecoderCost(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of one decoded frame, counted by code of ours on the graph that runs."""

    kmac_px: float  # thousand multiply-accumulates a pixel
    teraops_frame: float  # 2 × MAC / 10¹² at the clip's size
    teraops_frame_1080p: float  # the same a pixel, at 1920×1080


def decoder_cost(module: Any, example_inputs: Sequence[Any], width: int, height: int) -> DecoderCost:
    """Cost of `module(*example_inputs)`, which decodes one frame of width × height. Raises UserError without torch."""
    macs = _count_operations(module, example_inputs) / 2
    kmac_px = macs / (width * height) / 1e3
    return DecoderCost(
        kmac_px=kmac_px,
        teraops_frame=2 * macs / 1e12,
        teraops_frame_1080p=2 * kmac_px * 1e3 * _PIXELS_1080P / 1e12,
    )


def _count_operations(module: Any, example_inputs: Sequence[Any]) -> int:
    try:
        torch: Any = import_module("torch")
        flop_counter: Any = import_module("torch.utils.flop_counter")
    except ModuleNotFoundError:
        raise UserError("counting a decoder's cost needs torch; install the extra: pip install '.[learned]'") from None
    with torch.no_grad(), flop_counter.FlopCounterMode(display=False) as counter:
        module(*example_inputs)
    return int(counter.get_total_flops())
