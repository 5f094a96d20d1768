"""The built-in families: their encoding agents by name. The decoding agents lie in the decoder package."""

from __future__ import annotations

from collections.abc import Mapping

ENCODERS: Mapping[str, str] = {
    "classic": "gpu_workers.codec.families.classic",
    "restore": "gpu_workers.codec.families.restore",
    "hyperprior": "gpu_workers.codec.families.hyperprior",
}
