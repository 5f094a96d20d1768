"""The ledger's table on one DynamoDB table: kind and id are the key, each commit is one TransactWriteItems.

What is promised: `get`, and pages of a whole kind, read what was committed before. A page by tag asks the index
`by_tag` for ids, which may lag by about a second, and then reads each record itself: what it gives is current and has
the tag, but a record that took the tag a moment ago may still be missing. Those who list by tag (states, open
reservations, the outbox) look again at their next turn; nothing is decided by absence from such a page.

Every change of the lab writes the record `head changes`, so changes go one after another. That is the ceiling: about
one transaction's time for each change, and DynamoDB's 1,000 write units a second for the kind `change`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import islice
from random import Random
from time import sleep
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.aws.errors import plain_errors
from lab.errors import Conflict, Damaged, Refused, Unavailable
from lab.table import Check, Key, Record, Write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
BY_TAG = "by_tag"
# What CDK deploys and what `create_table` makes. The index holds keys alone: bodies are written and paid once.
TABLE_SCHEMA: dict[str, Any] = {
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "tagged")],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [{
        "IndexName": BY_TAG,
        "KeySchema": [{"AttributeName": "tagged", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }],
    "BillingMode": "PAY_PER_REQUEST",
}
BODY_LIMIT = 350_000  # bytes; an item may have 400 KB, its names and keys included. Larger bodies go elsewhere
# A call ends within CALL_S, the pause between its attempts included. Two of them make a heartbeat, and must fit into
# the grace in which a worker stops itself before its lease runs out (15 s by default).
CONNECT_S, READ_S, ATTEMPTS = 1.0, 2.0, 2
CALL_S = (CONNECT_S + READ_S) * ATTEMPTS + 1.0
TRIES = 8  # of one transaction that was turned away for no fault of its own: about 3 s in all
GET_BATCH, DELETE_BATCH = 100, 25  # DynamoDB's own limits
MET = frozenset({"TransactionConflict", "TransactionConflictException", "TransactionInProgressException"})
THROTTLED = frozenset({"ThrottlingError", "ThrottlingException", "RequestLimitExceeded",
                       "ProvisionedThroughputExceeded", "ProvisionedThroughputExceededException"})


def connect(**where: Any) -> DynamoDBClient:
    """A client whose waits are bounded. `where` goes to boto3 (region_name, endpoint_url, …)."""
    with plain_errors("DynamoDB"):
        return boto3.client("dynamodb", config=Config(
            connect_timeout=CONNECT_S, read_timeout=READ_S, max_pool_connections=32,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS}), **where)


def create_table(client: DynamoDBClient, name: str) -> None:
    """The table as CDK deploys it, ready to use: for emulators and tests."""
    with plain_errors(f"DynamoDB table {name}"):
        with suppress(client.exceptions.ResourceInUseException):  # its reply was lost, and botocore asked again
            client.create_table(TableName=name, **TABLE_SCHEMA)
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


class Elsewhere(Protocol):
    """Where bodies lie that no item can hold. They are put there before the item that names them is written."""

    def put(self, body: bytes) -> str: ...

    def get(self, hash: str) -> bytes: ...


class DynamoTable:
    """Implements `lab.table.Table`. May be shared by threads. Without an `elsewhere` large bodies are refused."""

    def __init__(self, client: DynamoDBClient, name: str, elsewhere: Elsewhere | None = None,
                 rng: Random | None = None, pause: Callable[[float], None] = sleep) -> None:
        self._client, self._name, self._elsewhere, self._pause = client, name, elsewhere, pause
        self._rng = rng or Random()
        self._what = f"DynamoDB table {name}"

    def get(self, kind: str, id: str) -> Record | None:
        with plain_errors(self._what):
            answer = self._client.get_item(TableName=self._name, Key=_key(kind, id), ConsistentRead=True)
        item = answer.get("Item")
        return None if item is None else self._verified(item)

    def get_many(self, keys: Sequence[Key]) -> Sequence[Record]:
        return list(self._records(iter(keys), GET_BATCH))

    def page(self, kind: str, *, tag: str | None = None, after: str = "", limit: int = 100,
             newest_first: bool = False) -> Sequence[Record]:
        found: Iterator[Record]
        if tag is None:
            found = map(self._verified, self._query(kind, after, limit, newest_first))
        else:
            keys = ((kind, item["sk"]["S"]) for item in self._query(kind, after, limit, newest_first, tag))
            found = (record for record in self._records(keys, min(limit, GET_BATCH)) if record.tag == tag)
        return list(islice(found, limit))

    def commit(self, writes: Sequence[Write], checks: Sequence[Check] = (), *, label: str = "") -> None:
        items = [*map(self._put_item, writes), *map(self._check_item, checks)]
        why = ""
        for turn in range(TRIES):
            with plain_errors(self._what):
                why = self._turned_away(items)
            if not why:
                return
            self._wait(turn)
        if why in MET:
            raise Conflict(f"{label}: met other writers {TRIES} times in a row; nothing was written")
        raise Unavailable(f"{self._what}: throttled {TRIES} times in a row ({why}); nothing was written, call again")

    def set(self, kind: str, id: str, body: bytes, tag: str = "") -> None:
        with plain_errors(self._what):
            self._client.put_item(TableName=self._name, Item=self._item(Record(kind, id, 1, body, tag)))

    def delete(self, kind: str, ids: Iterable[str]) -> None:
        for batch in _batches(ids, DELETE_BATCH):
            requests: Any = {self._name: [{"DeleteRequest": {"Key": _key(kind, id)}} for id in batch]}
            for turn in self._turns("delete"):
                with plain_errors(self._what):
                    requests = self._client.batch_write_item(RequestItems=requests).get("UnprocessedItems")
                if not requests:
                    break
                self._wait(turn)

    def session(self) -> AbstractContextManager[None]:
        return nullcontext()

    # ------------------------------------------------------------------ reading many

    def _query(self, kind: str, after: str, limit: int, newest_first: bool, tag: str | None = None,
               ) -> Iterator[dict[str, Any]]:
        """Items in order, page by page; without a tag they are read consistently, with one they are keys alone."""
        asked: dict[str, Any] = {"TableName": self._name, "Limit": limit, "ScanIndexForward": not newest_first}
        key, value = ("pk", kind) if tag is None else ("tagged", _tagged(kind, tag))
        asked |= {"ConsistentRead": True} if tag is None else {"IndexName": BY_TAG}
        asked |= {"KeyConditionExpression": f"{key} = :key", "ExpressionAttributeValues": {":key": {"S": value}}}
        if after:
            asked["KeyConditionExpression"] += f" AND sk {'<' if newest_first else '>'} :after"
            asked["ExpressionAttributeValues"][":after"] = {"S": after}
        while True:
            with plain_errors(self._what):
                answer = self._client.query(**asked)
            yield from answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _records(self, keys: Iterator[Key], at_once: int) -> Iterator[Record]:
        """Those that exist, in the order given, read consistently."""
        for batch in _batches(keys, at_once):
            found: dict[Key, Record] = {}
            asked: Any = {self._name: {"Keys": [_key(*key) for key in batch], "ConsistentRead": True}}
            for turn in self._turns("read"):
                with plain_errors(self._what):
                    answer = self._client.batch_get_item(RequestItems=asked)
                records = map(self._verified, answer["Responses"].get(self._name, []))
                found |= {(record.kind, record.id): record for record in records}
                asked = answer.get("UnprocessedKeys")
                if not asked:
                    break
                self._wait(turn)
            yield from (found[key] for key in batch if key in found)

    # ------------------------------------------------------------------ writing

    def _turned_away(self, items: list[Any]) -> str:
        """Commits and gives an empty string, or why this very transaction may be tried again. botocore sends one
        ClientRequestToken with all its own retries, so a retry there cannot write twice."""
        try:
            self._client.transact_write_items(TransactItems=items)
        except ClientError as error:
            reasons = {reason.get("Code", "") for reason in error.response.get("CancellationReasons", [])}
            if "ConditionalCheckFailed" in reasons:
                raise Conflict("a record was changed by another writer; nothing was written") from error
            for code in (error.response["Error"]["Code"], *sorted(reasons)):
                if code in MET or code in THROTTLED:
                    return code
            raise
        return ""

    def _put_item(self, write: Write) -> dict[str, Any]:
        return {"Put": {"TableName": self._name, "Item": self._item(write.record()), **_still(write.expected)}}

    def _check_item(self, check: Check) -> dict[str, Any]:
        return {"ConditionCheck": {"TableName": self._name, "Key": _key(check.kind, check.id),
                                   **_still(check.expected)}}

    def _item(self, record: Record) -> dict[str, Any]:
        """A record without a tag stays out of the index. Raises Refused for a body that has no place."""
        item = {**_key(record.kind, record.id), "version": {"N": str(record.version)}, "digest": {"B": record.digest()}}
        if len(record.body) <= BODY_LIMIT:
            item["body"] = {"B": record.body}
        elif self._elsewhere is not None:
            item["elsewhere"] = {"S": self._elsewhere.put(record.body)}
        else:
            raise Refused(f"{record.kind} {record.id} has {len(record.body):,} bytes, more than the {BODY_LIMIT:,} "
                          f"that DynamoDB takes; put large parts into the store and keep their hash")
        return item | ({"tagged": {"S": _tagged(record.kind, record.tag)}} if record.tag else {})

    def _verified(self, item: dict[str, Any]) -> Record:
        kind, id = item["pk"]["S"], item["sk"]["S"]
        tag = item["tagged"]["S"].removeprefix(f"{kind}#") if "tagged" in item else ""
        body = bytes(item["body"]["B"]) if "body" in item else self._from_elsewhere(item["elsewhere"]["S"])
        record = Record(kind, id, int(item["version"]["N"]), body, tag)
        if record.digest() != bytes(item["digest"]["B"]):
            raise Damaged(f"the record {kind} {id} is damaged; restore {self._name} to a point in time before")
        return record

    def _from_elsewhere(self, hash: str) -> bytes:
        if self._elsewhere is None:
            raise Damaged(f"{self._what}: a body lies elsewhere ({hash[:12]}…), and nothing was said of where")
        return self._elsewhere.get(hash)

    def _turns(self, what: str) -> Iterator[int]:
        yield from range(TRIES)
        raise Unavailable(f"{self._what}: could not {what} everything in {TRIES} tries; it is throttled, call again")

    def _wait(self, turn: int) -> None:
        self._pause(self._rng.uniform(0, min(0.05 * 2**turn, 1.0)))


def _still(version: int) -> dict[str, Any]:
    """The condition that a record has this version; 0: that it does not exist."""
    if version == 0:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {"ConditionExpression": "version = :version",
            "ExpressionAttributeValues": {":version": {"N": str(version)}}}


def _key(kind: str, id: str) -> dict[str, Any]:
    return {"pk": {"S": kind}, "sk": {"S": id}}


def _tagged(kind: str, tag: str) -> str:
    return f"{kind}#{tag}"


def _batches(these: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(these)
    while batch := list(islice(iterator, size)):
        yield batch
