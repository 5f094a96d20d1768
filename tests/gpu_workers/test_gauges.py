"""What a worker tells of its machine: by a driver's tool that stands in, and by what a training claims."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpu_workers.gauges import data_wait_pct, gpu_use_pct


def tool(folder: Path, script: str) -> str:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_use_of_all_gpus_is_their_mean(tmp_path: Path) -> None:
    assert gpu_use_pct(tool(tmp_path, "printf '90\\n30\\n'")) == 60.0


@pytest.mark.parametrize("script", ["exit 9", "echo '[N/A]'", "true"])
def test_a_driver_that_tells_nothing_is_left_out(tmp_path: Path, script: str) -> None:
    assert gpu_use_pct(tool(tmp_path, script)) is None


def test_the_wait_for_data_is_what_a_training_claims_of_itself() -> None:
    assert data_wait_pct({"step": 10, "data_wait_pct": 12.5}) == 12.5


@pytest.mark.parametrize("claimed", [None, "12", True, -1, 101, float("nan"), [1]])
def test_a_claim_that_is_no_share_is_left_out(claimed: Any) -> None:
    assert data_wait_pct({"data_wait_pct": claimed}) is None
