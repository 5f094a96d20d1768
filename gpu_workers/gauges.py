"""What a worker tells of its machine once a minute: how busy its GPUs are, and how much a training waits for footage.

What cannot be known is left out: a machine without a GPU has no use of it, and only a training that counts its waiting
says so. That share is the candidate's own claim, shown and never believed.
"""

from __future__ import annotations

import shutil
import subprocess
from statistics import mean
from typing import Any

from gpu_workers.worker import Worker
from lab.aws.telemetry import Telemetry
from lab.clock import Clock

EVERY_S = 60.0
PATIENCE_S = 5.0  # with a driver that hangs: less than a heartbeat may be late
DATA_WAIT = "data_wait_pct"  # the claim of a training


class Gauges:
    """See the module. `look` is called after each step."""

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self._telemetry, self._clock = telemetry, clock
        self._next = clock.monotonic()
        self._tool = shutil.which("nvidia-smi")

    def look(self, worker: Worker) -> None:
        if self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + EVERY_S
        values: dict[str, float] = {}
        if self._tool is not None and (use := gpu_use_pct(self._tool)) is not None:
            values["GpuUsePct"] = use
        if (waits := data_wait_pct(worker.progress)) is not None:
            values["DataWaitPct"] = waits
        self._telemetry.tell(values, experiment=worker.experiment)


def gpu_use_pct(tool: str) -> float | None:
    """The mean over the GPUs of this machine at this moment; None where the driver does not tell."""
    command = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
        return mean(float(one) for one in told.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def data_wait_pct(progress: dict[str, Any]) -> float | None:
    claimed = progress.get(DATA_WAIT)
    if isinstance(claimed, int | float) and not isinstance(claimed, bool) and 0 <= claimed <= 100:
        return float(claimed)
    return None
