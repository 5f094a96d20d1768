"""The search space of the family `restore`, as plain data: no ffmpeg, numpy or torch is needed to read it.

SVT-AV1 at preset 6 codes the pictures at full or reduced size (`auto`: the size that measures best at the rate which
full size has at this crf). A network of `channels` is fitted to the clip for `steps`, or comes trained; it is sent only
where it saves more than it costs. Steps, never seconds: the same spec gives the same bytes.
"""

from __future__ import annotations

from lab.space import Choice, Dimension, Integer, Real, When

PRESET = 6
_WITH_NET = When("channels", (8, 16, 32))

SPACE: tuple[Dimension, ...] = (
    Real(name="crf", low=15.0, high=70.0, digits=4),  # of the full size, in quarters
    Choice(name="scale", values=("auto", "full", "2/3", "1/2")),  # of both sides; the decoder enlarges
    Choice(name="gop_frames", values=(32, 64, 128, 256)),
    Choice(name="bit_depth", values=(8, 10)),  # of the coding
    Choice(name="channels", values=(0, 8, 16, 32)),  # 0: no network
    Choice(name="mode", values=("overfitted", "generic"), when=_WITH_NET),
    Integer(name="steps", low=100, high=6000, step=100, when=When("mode", ("overfitted",))),
)
