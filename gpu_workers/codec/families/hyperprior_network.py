"""The network of `hyperprior` as it trains: a transform, the hyperprior, and CompressAI's entropy models.

    planes ─ analysis ─ y ──────────── quantise beside the mean ─ synthesis ─ planes
                        └ hyper-analysis ─ z ─ hyper-decoder ─ scale and mean of each y
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from gpu_workers.codec.decoder.hyperprior_model import EIGHTHS, MOST_HYPER, Shape
from gpu_workers.codec.decoder.hyperprior_synthesis import HALO, blocks, posted, widened
from gpu_workers.codec.families.hyperprior_hyper import HyperAnalysis, HyperDecoder, scale_of, straight
from gpu_workers.codec.families.hyperprior_transforms import Dct16, Gdn, moments

torch: Any = import_module("torch")

RED_GREEN_BLUE = (1.0, 1.086, 0.825)  # what a squared error of Y, U, V is in the mean of R, G and B (BT.601)
MOST_DEVIATIONS = 8.0  # of a latent, that the hyper-analysis sees


class Network(torch.nn.Module):  # type: ignore[misc]
    """`price` in bits a pixel for a squared error of one code value; `chroma` is what its errors count."""

    def __init__(self, shape: Shape, price: float, chroma: float) -> None:
        super().__init__()
        models: Any = import_module("compressai.entropy_models")
        self.shape = shape
        self.register_buffer("plane_weights", plane_weights(chroma), persistent=False)
        make = (Dct16, Gdn)[shape.transform == "gdn"]
        self.transform = make(shape, price, self.plane_weights)
        self.hyper_analysis = HyperAnalysis(shape)
        self.hyper_decoder = HyperDecoder(shape)
        self.hyper_prior = models.EntropyBottleneck(shape.hyper_latents)
        self.prior = models.GaussianConditional(None)
        self.register_buffer("centre", torch.zeros(shape.latents))
        self.register_buffer("spread", torch.ones(shape.latents))

    def forward(self, planes: Any) -> tuple[Any, Any]:
        """Planes (n, frames, 6, rows, columns) → (bits of each crop, mean squared error of each plane and crop)."""
        y = self.analysis(planes)
        bits, coded = self.coded(y.float(), self.hyper(y).float())
        return bits, (self.synthesis(coded).float() - planes).square().mean(dim=(1, 3, 4))

    def coded(self, y: Any, z: Any) -> tuple[Any, Any]:
        """The bits of latents and hyper-latents, and the latents as they are decoded: in fp32 on every device."""
        with torch.autocast(y.device.type, enabled=False):
            _, hyper_likelihoods = self.hyper_prior(z)
            scales, means = self.hyper_decoder(straight(z.round().clamp(-MOST_HYPER, MOST_HYPER), z))
            means = means / EIGHTHS
            _, likelihoods = self.prior(y, scale_of(scales), means)
            bits = sum(-one.log2().sum(dim=(1, 2, 3)) for one in (hyper_likelihoods, likelihoods))
            return bits, means + straight((y - means).round(), y - means)

    def analysis(self, planes: Any) -> Any:
        return self.transform.analysis(planes)

    def hyper(self, y: Any) -> Any:
        """What the hyper-latents are rounded from."""
        centred = (y - self.centre[:, None, None]) / self.spread[:, None, None]
        return self.hyper_analysis(centred.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS))

    def synthesis(self, y: Any) -> Any:
        weights = self.transform.synthesis_weights()
        planes = blocks(weights, self.shape, y)
        padded = widened(planes, HALO).contiguous(memory_format=torch.channels_last)
        planes = posted(weights, padded)
        return planes.reshape(-1, self.shape.frames, *planes.shape[1:])

    def calibrate(self, planes: Any) -> None:
        """Takes the latents' means and spreads from one batch, so that training starts near their distribution."""
        with torch.no_grad():
            self.transform.calibrate(planes)
            self.centre, self.spread = moments(self.analysis(planes))
            self.hyper_decoder.calibrate(self.centre, self.spread)


def plane_weights(chroma: float) -> Any:
    red_green_blue = np.array(RED_GREEN_BLUE) * (1.0, chroma, chroma)
    return torch.tensor([red_green_blue[0] / 4] * 4 + list(red_green_blue[1:]), dtype=torch.float32)
