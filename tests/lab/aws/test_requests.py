"""What a process asks of AWS is counted as AWS bills it; DynamoDB's own units against DynamoDB Local."""

from __future__ import annotations

import math
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from lab.aws.prices import price_list, prices_of
from lab.aws.requests import Requests, cost_usd
from lab.aws.table import DynamoTable, connect, create_table
from lab.money import MOST
from lab.table import Check, Write
from support.servers import Endpoint

WHERE: dict[str, Any] = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
PRICES = prices_of("us-east-1").requests_usd_million


def counted(service: str, call: str, answer: dict[str, Any], asked: dict[str, Any]) -> dict[str, float]:
    """By kind."""
    requests = Requests()
    client: Any = requests.watched(boto3.client(service, **WHERE))
    with Stubber(client) as stub:
        stub.add_response(call, answer)
        getattr(client, call)(**asked)
    return requests.count()


@pytest.mark.parametrize(("call", "asked", "kind"), [
    ("put_object", {"Bucket": "b", "Key": "k"}, "store_write"),
    ("copy_object", {"Bucket": "b", "Key": "k", "CopySource": "b/k"}, "store_write"),
    ("list_object_versions", {"Bucket": "b"}, "store_write"),
    ("get_object", {"Bucket": "b", "Key": "k"}, "store_read"),
    ("head_object", {"Bucket": "b", "Key": "k"}, "store_read"),
    ("delete_object", {"Bucket": "b", "Key": "k"}, None)])
def test_the_store_is_billed_by_the_kind_of_call_and_a_removal_not(
        call: str, asked: dict[str, Any], kind: str | None) -> None:
    assert counted("s3", call, {}, asked) == ({kind: 1.0} if kind else {})


def test_a_queue_is_billed_each_call_and_each_retry() -> None:
    asked = {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/1/q"}
    answer = {"ResponseMetadata": {"RetryAttempts": 1}}
    assert counted("sqs", "receive_message", answer, asked) == {"queue": 2.0}


@pytest.mark.parametrize(("call", "asked", "answer", "kind", "units"), [
    ("query", {"KeyConditionExpression": "pk = :k"}, {"ConsumedCapacity": {"CapacityUnits": 2.5}}, "ledger_read", 2.5),
    ("put_item", {"Item": {}}, {"ConsumedCapacity": {"CapacityUnits": 3.0}}, "ledger_write", 3.0),
    ("get_item", {"Key": {}}, {}, "ledger_read", 1.0)])
def test_the_ledger_is_asked_to_state_what_it_bills(
        call: str, asked: dict[str, Any], answer: dict[str, Any], kind: str, units: float) -> None:
    assert counted("dynamodb", call, answer, {"TableName": "t", **asked}) == {kind: units}


def test_what_describes_a_table_is_free() -> None:
    assert counted("dynamodb", "describe_table", {}, {"TableName": "t"}) == {}


@pytest.mark.parametrize("region", list(price_list().regions))
def test_each_kind_has_its_price_in_each_region(region: str) -> None:
    assert prices_of(region).requests_usd_million.keys() == PRICES.keys()


def test_what_was_counted_costs_by_the_table_and_nothing_is_free_or_below_zero() -> None:
    requests = Requests()
    client = requests.watched(boto3.client("ce", **WHERE))
    with Stubber(client) as stub:
        stub.add_response("get_cost_and_usage", {"ResultsByTime": []}, {"TimePeriod": ANY, "Metrics": ANY,
                                                                        "Granularity": ANY})
        client.get_cost_and_usage(TimePeriod={"Start": "2026-11-01", "End": "2026-11-02"}, Granularity="MONTHLY",
                                  Metrics=["UnblendedCost"])
    assert cost_usd(requests.count(), PRICES) == pytest.approx(0.01)
    assert cost_usd({"queue": 5e6, "ledger_write": 1e6}, PRICES) == pytest.approx(2.0 + 0.625)
    assert cost_usd({"of a later version": 1.0}, PRICES) == pytest.approx(0.01), "as the dearest that has a price"
    assert cost_usd({"queue": -5e6}, PRICES) == 0
    assert cost_usd({"queue": math.nan}, PRICES) == 0
    assert cost_usd({"bill": 1e308, "queue": math.inf}, PRICES) == cost_usd({"bill": MOST, "queue": MOST}, PRICES)


@pytest.mark.ci
def test_units_are_those_that_dynamodb_states(dynamodb_local: Endpoint) -> None:
    requests = Requests()
    client = connect(endpoint_url=dynamodb_local.url, **WHERE)
    create_table(client, "counted")
    table = DynamoTable(requests.watched(client), "counted")

    def total() -> float:
        return sum(requests.count().values())
    table.set("thing", "a", b"x" * 1500)  # 2 KB
    assert total() == 2
    before = total()
    table.commit([Write("thing", "b", 0, b"x"), Write("thing", "c", 0, b"x", "tagged")], [Check("thing", "a", 1)])
    assert total() - before >= 2 * 4, "each twice, as a transaction is billed, and the index too"
    before = total()
    assert table.get("thing", "a") is not None
    assert total() - before == 1
    before = total()
    assert len(table.page("thing", tag="tagged")) == 1
    assert total() - before == 1.5, "a look into the index, and the record itself"
