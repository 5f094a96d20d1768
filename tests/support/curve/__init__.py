"""A tiny track: fits a curve to points in a file. It proves that nothing outside `gpu_workers/codec` knows codecs."""

from __future__ import annotations

from pathlib import Path

INSTALLED = Path(__file__).parent / "installed"  # on PYTHONPATH beside `tests`, it makes the track an installed one
