"""What the daemon and workers tell CloudWatch: lines of their own log in its embedded metric format.

CloudWatch makes metrics of such lines when they reach a log group, so nothing is called and nobody needs a permission.
They are written on an account alone, where the service says so (AETHER_TELEMETRY=emf); elsewhere nobody reads them.
The format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Protocol, TextIO

SWITCH = "AETHER_TELEMETRY"
NAMESPACE = "Aether"
LAB = "Lab"  # the dimension of every metric: the lab's prefix
UNITS = {
    "DaemonHeartbeat": "Count",  # rounds in which the daemon showed the ledger that it lives
    "Experiments": "Count",  # that ended; by Verdict
    "SpentUsd": "None",  # of this month's budget
    "BestSoFar": "None",  # the leader's; by Metric
    "QueueAgeS": "Seconds",  # how long the oldest has waited for a worker
    "Backlog": "Count",  # experiments that wait for a worker
    "GpuUsePct": "Percent",
    "DataWaitPct": "Percent",  # of a training's time, spent on waiting for footage
    "WorkerCrash": "Count",
}


class Telemetry(Protocol):
    def tell(self, values: Mapping[str, float], by: Mapping[str, str] | None = None, **beside: Any) -> None:
        """Metrics of this moment, further dimensions, and what only a reader of the log sees."""
        ...


class Emf:
    """Implements `Telemetry`: one line a call. A value that is no finite number is left out."""

    def __init__(self, lab: str, out: TextIO, wall: Callable[[], float]) -> None:
        self._lab, self._out, self._wall = lab, out, wall

    def tell(self, values: Mapping[str, float], by: Mapping[str, str] | None = None, **beside: Any) -> None:
        sound = {name: float(value) for name, value in values.items() if isfinite(value)}
        if sound:
            print(json.dumps(line(self._lab, self._wall(), sound, by or {}) | beside), file=self._out, flush=True)


def line(lab: str, wall: float, values: Mapping[str, float], by: Mapping[str, str]) -> dict[str, Any]:
    """The document of the format. Raises KeyError for a metric that has no unit here."""
    metrics = [{"Name": name, "Unit": UNITS[name]} for name in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": [[LAB, *by]], "Metrics": metrics}
    return {"_aws": {"Timestamp": int(wall * 1000), "CloudWatchMetrics": [directive]}, LAB: lab, **by, **values}


def telemetry_from(environment: Mapping[str, str], address: str, out: TextIO,
                   wall: Callable[[], float]) -> Telemetry | None:
    """None where nobody asked for it, or where the lab is on no account."""
    kind, _, prefix = address.partition(":")
    return Emf(prefix, out, wall) if environment.get(SWITCH) == "emf" and kind == "aws" else None
