"""Counts what a process asks of AWS, as AWS bills it: DynamoDB by the units that its replies state, the others by call.

A call that had no answer is not counted; one that DynamoDB turned down counts as one unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any, TypeVar

from lab.money import within

CAPACITY = "ReturnConsumedCapacity"  # what makes DynamoDB state them
READS = frozenset({"GetItem", "BatchGetItem", "Query"})
REMOVALS = frozenset({"DeleteObject", "DeleteObjects", "AbortMultipartUpload"})
BY_CALL = {"sqs": "queue", "sns": "topic", "ce": "bill"}
MILLION = 1e6
C = TypeVar("C")


class Requests:
    """May be shared by threads."""

    def __init__(self) -> None:
        self._lock, self._count = Lock(), dict[str, float]()

    def watched(self, client: C) -> C:
        """The same client: what is asked by it counts from now on."""
        events: Any = client.meta.events  # type: ignore[attr-defined]
        events.register("provide-client-params.dynamodb", _asking_for_units)
        events.register("after-call", self._see)
        return client

    def count(self) -> dict[str, float]:
        """By the kinds of `lab.aws.prices.Region.requests_usd_million`, so far."""
        with self._lock:
            return dict(self._count)

    def _see(self, model: Any, parsed: Mapping[str, Any], **_: Any) -> None:
        kind = _kind(model)
        if not kind:
            return
        units = _units(parsed) if kind.startswith("ledger") else 1.0 + _retries(parsed)
        with self._lock:
            self._count[kind] = self._count.get(kind, 0.0) + units


def cost_usd(counted: Mapping[str, float], usd_million: Mapping[str, float]) -> float:
    """A kind without a price, as a worker of another version may tell of, counts as the dearest."""
    dearest = max(usd_million.values())
    return sum(within(count) * usd_million.get(kind, dearest) for kind, count in counted.items()) / MILLION


def _asking_for_units(params: Mapping[str, Any], model: Any, **_: Any) -> dict[str, Any] | None:
    return {**params, CAPACITY: "TOTAL"} if _states_units(model) else None


def _states_units(model: Any) -> bool:
    return model.input_shape is not None and CAPACITY in model.input_shape.members


def _kind(model: Any) -> str:
    """Empty for what is free."""
    service, operation = model.service_model.service_name, model.name
    if service == "dynamodb":
        return "" if not _states_units(model) else "ledger_read" if operation in READS else "ledger_write"
    if service == "s3":
        return "" if operation in REMOVALS else "store_read" if operation.startswith(("Get", "Head")) else "store_write"
    return BY_CALL.get(service, "")


def _units(parsed: Mapping[str, Any]) -> float:
    """Of one table, or of each that several records lie in; with its index."""
    told = parsed.get("ConsumedCapacity") or {"CapacityUnits": 1.0}
    return sum(float(one.get("CapacityUnits", 0.0)) for one in (told if isinstance(told, list) else [told]))


def _retries(parsed: Mapping[str, Any]) -> int:
    return int(parsed.get("ResponseMetadata", {}).get("RetryAttempts", 0))
