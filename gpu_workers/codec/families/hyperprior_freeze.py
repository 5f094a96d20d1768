"""From a trained `hyperprior` network to the model that coders use: whole numbers where machines must agree.

Tables are made here, with whatever mathematics this machine has, and travel as whole numbers: nobody computes them
again. The encoder's half is the network's own state, under a prefix.
"""

from __future__ import annotations

import math
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.decoder.entropy import Table
from gpu_workers.codec.decoder.hyperprior_model import (
    LAYERS,
    LEAST_SCALE,
    MOST_HYPER,
    OCTAVE,
    SCALES,
    Model,
    even_table,
    layer_bounds,
    whole,
)
from gpu_workers.codec.decoder.hyperprior_synthesis import Weights
from gpu_workers.codec.decoder.whole import WholeConv
from gpu_workers.codec.families.hyperprior_hyper import HyperDecoder
from gpu_workers.codec.families.hyperprior_network import Network
from gpu_workers.codec.families.hyperprior_whole import whole_weights

ENCODER = "encoder."
_ENCODERS_OWN = ("transform.into", "transform.gain", "transform.before", "transform.time", "transform.down",
                 "transform.norms", "hyper_analysis", "centre", "spread")
_TABLE_TOTAL = 1 << 22
_DEVIATIONS = 5.0  # that a table reaches to each side


def frozen(network: Network, planes: Any) -> Model:
    """`planes` (n, frames, 6, rows, columns) are what the whole numbers' ranges are taken from."""
    network = network.cpu().eval()
    with import_module("torch").no_grad():
        weights = {name: one.detach().numpy().astype(np.float16)
                   for name, one in network.transform.synthesis_weights().items()}
        weights |= {ENCODER + name: one.numpy().astype(np.float16) for name, one in network.state_dict().items()
                    if name.startswith(_ENCODERS_OWN)}
        if network.shape.transform == "dct16":
            weights |= whole_weights(network, planes.cpu())
        return Model(network.shape, whole_layers(network.hyper_decoder), scale_tables(), hyper_tables(network), weights)


def thawed(model: Model) -> Network:
    """The encoder's half of a network, for analysis; the other half is what a network starts as."""
    torch: Any = import_module("torch")
    network = Network(model.shape, price=0.01, chroma=1.0)
    state: Weights = {name.removeprefix(ENCODER): torch.from_numpy(array.astype(np.float32))
                      for name, array in model.weights.items() if name.startswith(ENCODER)}
    network.load_state_dict(state, strict=False)
    network.eval()
    return network


def whole_layers(decoder: HyperDecoder) -> tuple[WholeConv, ...]:
    layers = []
    for place in range(LAYERS):
        weights, bias, shift = (one.detach().numpy() for one in decoder.rounded(place))
        unit = np.exp2(shift)
        layers.append(WholeConv(whole(np.rint(weights * unit.reshape(-1, 1, 1, 1))), whole(np.rint(bias * unit)),
                                whole(shift), *layer_bounds(place)))
    return tuple(layers)


def scale_tables() -> tuple[Table, ...]:
    """Of each scale, a Gaussian over the whole numbers, and what lies beyond `_DEVIATIONS` as the escape."""
    return tuple(even_table(_half_table(LEAST_SCALE * 2 ** (place / OCTAVE))) for place in range(SCALES))


def _half_table(scale: float) -> npt.NDArray[np.int64]:
    top = max(2, math.ceil(_DEVIATIONS * scale))
    beyond = [0.5 * math.erfc((value - 0.5) / scale / math.sqrt(2)) for value in range(top + 2)]
    shares = [1 - 2 * beyond[1], *(a - b for a, b in pairwise(beyond[1:])), 2 * beyond[-1]]
    return _counts(np.array(shares))


def hyper_tables(network: Network) -> tuple[Table, ...]:
    torch: Any = import_module("torch")
    values = torch.arange(-MOST_HYPER, MOST_HYPER + 1, dtype=torch.float32)
    grid = values.reshape(-1, 1, 1, 1).repeat(1, network.shape.hyper_latents, 1, 1)
    _, likelihoods = network.hyper_prior(grid, training=False)
    rows = _counts(likelihoods.reshape(len(values), -1).T.numpy())
    return tuple(Table(-MOST_HYPER, row, escape=False) for row in rows)


def _counts(shares: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
    return np.asarray(np.maximum(1, np.rint(shares * _TABLE_TOTAL)), np.int64)
