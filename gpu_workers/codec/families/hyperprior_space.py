"""The search space of the family `hyperprior`, as plain data: no numpy or torch is needed to read it.

A model is trained for one trade of rate against error (`price`, the λ of the field: of a squared error of one 8 bit
code value, in bits a pixel); the encoder then makes its steps larger or smaller (`step`) without training again.
`dct16` is the transform that learns in minutes, with a decoder of 3 kMAC a pixel; `gdn` is CompressAI's, with up to 37,
and wants hours. With `frames` above 1, so many frames are transformed together along time as well.
"""

from __future__ import annotations

from lab.space import Choice, Dimension, Real, When

_DCT16 = When("transform", ("dct16",))

SPACE: tuple[Dimension, ...] = (
    Choice(name="transform", values=("dct16", "gdn")),
    Choice(name="channels", values=(128, 192, 256), when=_DCT16),  # latents a block of 16×16, three quarters for luma
    Choice(name="frames", values=(1, 4, 8), when=_DCT16),  # coded together
    Choice(name="synthesis", values=("float", "whole"), when=_DCT16),  # whole numbers: the same frames everywhere
    Choice(name="width", values=(64, 128), when=When("transform", ("gdn",))),  # of its layers
    Real(name="price", low=0.001, high=0.06, log=True),
    Real(name="step", low=0.35, high=4.0, log=True),  # times the model's own; the nearest 2^(k/28) is taken
    Choice(name="chroma", values=(1.0, 0.5, 0.25)),  # what its errors count: 1 as in RGB
    Choice(name="rate", values=(0.0005, 0.001, 0.002)),  # of Adam, at its highest
    Choice(name="crop", values=(128, 192, 256)),  # luma samples a side
)
