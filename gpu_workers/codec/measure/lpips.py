"""LPIPS 0.1 with the AlexNet backbone (Zhang et al. 2018, arXiv:1801.03924), lower is better.

Needs torch and the package `lpips` (which carries the linear weights) of the extra `learned`, and AlexNet's weights,
which are a download of torchvision's. Nothing is fetched here: where something is missing the metric is absent, with
the reason and the fix. Frames become RGB in [−1, 1] by their own matrix and range; chroma is repeated to full size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_workers.codec.frames import Frame, Plane, VideoInfo

_BACKBONE_FILE = "alexnet-owt-7be5be79.pth"
_LEAST_SIDE = 64  # below this AlexNet's last maps are empty or a single number
_LUMA_WEIGHTS = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}  # Kr, Kb


def open_lpips(info: VideoInfo) -> Callable[[Frame, Frame], float] | str:
    """A function from (original, distorted) to LPIPS, or the reason why there is none."""
    if min(info.width, info.height) < _LEAST_SIDE:
        return f"lpips needs pictures of {_LEAST_SIDE}×{_LEAST_SIDE} and more"
    missing = [name for name in ("torch", "torchvision", "lpips") if find_spec(name) is None]
    if missing:
        return f"not available: {', '.join(missing)} not installed; `make setup TORCH=cpu` installs them"
    weights = backbone_path()
    if not weights.is_file():
        return f"not available: AlexNet's weights are missing; put torchvision's {_BACKBONE_FILE} at {weights}"
    return _load(info)


def backbone_path() -> Path:
    """Where torchvision keeps the weights that it has fetched."""
    torch: Any = import_module("torch")
    return Path(torch.hub.get_dir()) / "checkpoints" / _BACKBONE_FILE


def _load(info: VideoInfo) -> Callable[[Frame, Frame], float]:
    torch: Any = import_module("torch")
    with warnings.catch_warnings(action="ignore"):
        network = import_module("lpips").LPIPS(net="alex", verbose=False).eval()

    def tensor(frame: Frame) -> Any:
        return torch.from_numpy(to_rgb(frame, info) * 2 - 1).permute(2, 0, 1)[None]

    def measure(original: Frame, distorted: Frame) -> float:
        with torch.inference_mode():
            return float(network(tensor(original), tensor(distorted)))

    return measure


def to_rgb(frame: Frame, info: VideoInfo) -> npt.NDArray[np.float32]:
    """(rows, columns, 3) in [0, 1]: ITU-T H.273's inverse of the video's matrix and range, BT.709 where unstated."""
    scale = float(1 << (info.bit_depth - 8))
    top, luma_span, chroma_span = (0.0, 255.0, 255.0) if info.full_range else (16.0, 219.0, 224.0)
    y = (frame.planes[0].astype(np.float32) / scale - top) / luma_span
    if len(frame.planes) == 1:
        return np.clip(np.repeat(y[..., None], 3, axis=2), 0, 1)
    cb, cr = ((_full_size(plane, y.shape) / scale - 128) / chroma_span for plane in frame.planes[1:])
    kr, kb = _LUMA_WEIGHTS.get(info.matrix, _LUMA_WEIGHTS["bt709"])
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    rgb: npt.NDArray[np.float32] = np.clip(np.stack([red, green, blue], axis=2), 0, 1)
    return rgb


def _full_size(plane: Plane, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    down, across = -(-shape[0] // plane.shape[0]), -(-shape[1] // plane.shape[1])
    return plane.repeat(down, axis=0).repeat(across, axis=1)[: shape[0], : shape[1]].astype(np.float32)
