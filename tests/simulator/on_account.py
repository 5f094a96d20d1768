"""A world that stands on an account, with faults on the wire: below our own code, where botocore's retries work."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from simulator.disk import Disk
from simulator.ground import BESIDE

from lab.aws import clients
from lab.aws.cache import Cache
from lab.aws.names import Names
from lab.aws.queue import SqsQueue
from lab.aws.store import S3Store
from lab.aws.table import DynamoTable, connect
from lab.backend import Queue, Store
from lab.files import Files
from lab.stored import object_name
from support.servers import Endpoint

OBJECTS = "objects/"


class Rates(NamedTuple):
    """Chances of each request. A second fault in a row reaches our own code."""

    throttled: float = 0.01
    conflict: float = 0.05  # of transactions: TransactionConflict, which no emulator answers
    reply_lost: float = 0.01  # after the deed
    request_lost: float = 0.01


class Wire:
    """Stands between a client and its endpoint, and counts."""

    def __init__(self, rng: Random, rates: Rates) -> None:
        self._rng, self._rates = rng, rates
        self.calm = False
        self.requests: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def under(self, client: Any) -> Any:
        service = client.meta.service_model.service_name

        def before(request: Any, event_name: str, **_: Any) -> AWSResponse | None:
            return self._sent(client, request, service, event_name.rpartition(".")[2])
        client.meta.events.register_first("before-send", before)
        return client

    def _sent(self, client: Any, request: Any, service: str, operation: str) -> AWSResponse | None:
        """An answer in place of the endpoint's, or None to let the request go on. Raises what a broken line raises."""
        self.requests[f"{service}.{operation}"] += 1
        fault = None if self.calm else self._drawn(operation)
        if fault is None:
            return None
        self.faults[fault] += 1
        if fault == "reply_lost":
            client._endpoint.http_session.send(request)
            raise ReadTimeoutError(endpoint_url=request.url)
        if fault == "request_lost":
            raise ConnectTimeoutError(endpoint_url=request.url)
        return _refusal(service, request.url, fault)

    def _drawn(self, operation: str) -> str | None:
        at = self._rng.random()
        for fault, rate in self._rates._asdict().items():
            if fault == "conflict" and operation != "TransactWriteItems":
                continue
            if at < rate:
                return fault
            at -= rate
        return None


class _Raw(io.BytesIO):
    def stream(self) -> Any:
        yield self.getvalue()


def _refusal(service: str, url: str, fault: str) -> AWSResponse:
    """As the service says it."""
    if fault == "conflict":
        said: dict[str, Any] = {"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                                "Message": "Transaction cancelled for specific reasons [TransactionConflict]",
                                "CancellationReasons": [{"Code": "TransactionConflict", "Message": "it is ongoing"}]}
    elif service == "dynamodb":
        said = {"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                "message": "The level of configured provisioned throughput for the table was exceeded"}
    elif service == "sqs":
        said = {"__type": "com.amazonaws.sqs#RequestThrottled", "message": "Request is throttled"}
    else:
        body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
        return AWSResponse(url, 503, {"Content-Type": "application/xml"}, _Raw(body))
    headers = {"Content-Type": "application/x-amz-json-1.0"}
    return AWSResponse(url, 400, headers, _Raw(json.dumps(said).encode()))


class Account:
    """Implements `simulator.ground.Ground` on DynamoDB, SQS and S3. Messages stay invisible in real time, which is slow
    beside the world's: the daemon's sending again carries what a killed worker held."""

    may_lock = False

    def __init__(self, endpoint: Endpoint, names: Names, folder: Path, wire: Wire, real: Callable[[], float]) -> None:
        self._names, self._folder, self._wire, self._real = names, folder, wire, real
        where = endpoint.settings
        self._dynamodb, self._s3 = wire.under(connect(**where)), wire.under(clients.s3(**where))
        self._sqs = wire.under(clients.sqs(**where))
        self._plain = connect(**where), clients.s3(**where)  # of the checker, which sees what is there
        self.table = DynamoTable(self._dynamodb, names.table, pause=lambda seconds: None)
        self.seen = DynamoTable(self._plain[0], names.table)
        self._shown: dict[float, float] = {}

    @property
    def requests(self) -> int:
        return sum(self._wire.requests.values())

    def hold(self, wall: float) -> None:
        self._shown[wall] = self._real()

    def queue(self, wall: Callable[[], float], rng: Random) -> Queue:
        return SqsQueue(self._sqs, self._sqs, self._names.queue("cpu"))

    def store(self, files: Files, rng: Random) -> Store:
        store = S3Store(self._s3, self._names.bucket, Cache(self._folder))
        retire = store.retire

        def of_real_time(hash: str, before: float) -> bool:
            """S3 dates objects by real time, and to the second; the world has another."""
            return retire(hash, float(int(self._shown[before])))
        store.retire = of_real_time  # type: ignore[method-assign]
        return store

    def records(self) -> dict[tuple[str, str], tuple[int, str, bytes]]:
        found = {}
        for page in self._plain[0].get_paginator("scan").paginate(TableName=self._names.table, ConsistentRead=True):
            for item in page["Items"]:
                record = self.seen._verified(item)
                if record.kind not in BESIDE:
                    found[(record.kind, record.id)] = (record.version, record.tag, record.body)
        return found

    def held(self, disk: Disk) -> dict[str, bytes]:
        found = {}
        for page in self._plain[1].get_paginator("list_objects_v2").paginate(Bucket=self._names.bucket, Prefix=OBJECTS):
            for one in page.get("Contents", ()):
                hash = one["Key"].removeprefix(OBJECTS).replace("/", "")
                assert one["Key"] == object_name(hash)
                found[hash] = self._plain[1].get_object(Bucket=self._names.bucket, Key=one["Key"])["Body"].read()
        return found
