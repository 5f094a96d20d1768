"""The servers that the ledger is judged against refuse what DynamoDB refuses; else their verdict means nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from support.servers import Endpoint


@pytest.fixture(params=["dynamodb_local", "emulator"])
def table(request: pytest.FixtureRequest) -> Iterator[Any]:
    endpoint: Endpoint = request.getfixturevalue(request.param)
    resource = boto3.resource("dynamodb", **endpoint.settings)
    table = resource.create_table(
        TableName="rows",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield table
    table.delete()


@pytest.mark.ci
def test_a_server_refuses_a_conditional_write_whose_condition_no_longer_holds(table: Any) -> None:
    table.put_item(Item={"id": "a", "version": 1}, ConditionExpression="attribute_not_exists(id)")
    with pytest.raises(table.meta.client.exceptions.ConditionalCheckFailedException):
        table.put_item(Item={"id": "a", "version": 2}, ConditionExpression="attribute_not_exists(id)")
    assert table.get_item(Key={"id": "a"}, ConsistentRead=True)["Item"]["version"] == 1


@pytest.mark.ci
def test_a_transaction_writes_all_of_its_rows_or_none(table: Any) -> None:
    client = table.meta.client
    table.put_item(Item={"id": "stands"})
    fresh = {"Put": {"TableName": "rows", "Item": {"id": "fresh"}}}
    refused = {
        "Put": {
            "TableName": "rows",
            "Item": {"id": "stands"},
            "ConditionExpression": "attribute_not_exists(id)",
        }
    }
    with pytest.raises(client.exceptions.TransactionCanceledException):
        client.transact_write_items(TransactItems=[fresh, refused])
    assert "Item" not in table.get_item(Key={"id": "fresh"}, ConsistentRead=True)
