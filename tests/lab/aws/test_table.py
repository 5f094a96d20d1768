"""DynamoDB's table where no emulator goes: conflicts between transactions, throttling, damage, refusals, lost logins.

The client is botocore's own, with its answers stubbed; neither DynamoDB Local nor ministack ever says
TransactionConflict.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from lab.aws.table import BODY_LIMIT, CALL_S, TABLE_SCHEMA, TRIES, DynamoTable, connect
from lab.clock import SystemClock
from lab.errors import Conflict, Damaged, Refused, Unavailable
from lab.experiment import Terms
from lab.ledger import Ledger
from lab.table import Check, Record, Write

ONE = [Write("thing", "a", 0, b"{}")]
CANCELLED = "TransactionCanceledException"


class Stubbed:
    """A table whose client answers as told; `pauses` are the waits between its tries."""

    def __init__(self) -> None:
        client = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="test",
                              aws_secret_access_key="test")
        self.answers, self.pauses = Stubber(client), list[float]()
        self.table = DynamoTable(client, "lab", pause=self.pauses.append)

    def cancels(self, *reasons: str) -> None:
        self.answers.add_client_error("transact_write_items", CANCELLED, "cancelled", modeled_fields={
            "CancellationReasons": [{"Code": reason} for reason in reasons]})

    def fails(self, call: str, code: str, status: int = 400) -> None:
        self.answers.add_client_error(call, code, "no.\nreally", http_status_code=status)

    def commits(self) -> None:
        self.answers.add_response("transact_write_items", {})


@pytest.fixture
def stubbed() -> Iterator[Stubbed]:
    stubbed = Stubbed()
    with stubbed.answers:
        yield stubbed
        stubbed.answers.assert_no_pending_responses()


@pytest.mark.parametrize("reason", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transaction_that_met_another_is_tried_again_after_a_pause(stubbed: Stubbed, reason: str) -> None:
    stubbed.cancels("None", reason)
    stubbed.cancels(reason, "None")
    stubbed.commits()
    stubbed.table.commit(ONE)
    assert len(stubbed.pauses) == 2
    assert all(0 <= pause <= 1 for pause in stubbed.pauses)


def test_a_moved_version_is_a_conflict_at_once(stubbed: Stubbed) -> None:
    stubbed.cancels("TransactionConflict", "ConditionalCheckFailed")
    with pytest.raises(Conflict):
        stubbed.table.commit(ONE)
    assert stubbed.pauses == []


def test_meeting_others_for_ever_is_a_conflict_so_that_the_caller_reads_again(stubbed: Stubbed) -> None:
    for _ in range(TRIES):
        stubbed.cancels("TransactionConflict")
    with pytest.raises(Conflict, match="nothing was written"):
        stubbed.table.commit(ONE, label="claim")


@pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
def test_being_throttled_for_ever_is_unavailable(stubbed: Stubbed, code: str) -> None:
    for _ in range(TRIES):
        stubbed.fails("transact_write_items", code)
    with pytest.raises(Unavailable, match="throttled"):
        stubbed.table.commit(ONE)


def test_a_cancelled_transaction_for_any_other_reason_is_not_tried_again(stubbed: Stubbed) -> None:
    stubbed.cancels("ItemCollectionSizeLimitExceeded")
    with pytest.raises(Unavailable, match=CANCELLED):
        stubbed.table.commit(ONE)
    assert stubbed.pauses == []


def test_a_ledger_gets_through_a_storm_of_conflicts(stubbed: Stubbed) -> None:
    """From the ledger's call down to the wire: conflicts, then a moved version, then the commit."""
    nothing = {"Responses": {}}
    stubbed.answers.add_response("batch_get_item", nothing)  # no such op_id, and no changes yet
    stubbed.answers.add_response("get_item", {})  # the budget is new
    stubbed.cancels("TransactionConflict", "None", "None", "None")
    stubbed.cancels("ConditionalCheckFailed", "None", "None", "None")
    stubbed.answers.add_response("batch_get_item", nothing)
    stubbed.answers.add_response("get_item", {})
    stubbed.commits()
    ledger = Ledger(stubbed.table, SystemClock(), pause=stubbed.pauses.append)
    assert ledger.accounts.set_cap("run", 5, op_id="mine").free == 5


def test_the_conditions_on_the_wire_are_the_versions(stubbed: Stubbed) -> None:
    expected = {"TransactItems": [
        {"Put": {"TableName": "lab", "Item": ANY, "ConditionExpression": "attribute_not_exists(pk)"}},
        {"Put": {"TableName": "lab", "Item": ANY, "ConditionExpression": "version = :version",
                 "ExpressionAttributeValues": {":version": {"N": "3"}}}},
        {"ConditionCheck": {"TableName": "lab", "Key": {"pk": {"S": "daemon"}, "sk": {"S": "lease"}},
                            "ConditionExpression": "version = :version",
                            "ExpressionAttributeValues": {":version": {"N": "7"}}}},
    ]}
    stubbed.answers.add_response("transact_write_items", {}, expected)
    stubbed.table.commit([*ONE, Write("thing", "b", 3, b"{}")], [Check("daemon", "lease", 7)])


def item(record: Record, **changed: Any) -> dict[str, Any]:
    return {"pk": {"S": record.kind}, "sk": {"S": record.id}, "version": {"N": str(record.version)},
            "body": {"B": record.body}, "digest": {"B": record.digest()}} | changed


@pytest.mark.parametrize("changed", [
    {"body": {"B": b'{"x": 2}'}}, {"version": {"N": "2"}}, {"tagged": {"S": "thing#x"}}])
def test_a_record_that_does_not_match_its_hash_is_damaged(stubbed: Stubbed, changed: dict[str, Any]) -> None:
    record = Record("thing", "a", 1, b'{"x": 1}')
    stubbed.answers.add_response("get_item", {"Item": item(record)})
    stubbed.answers.add_response("get_item", {"Item": item(record, **changed)})
    assert stubbed.table.get("thing", "a") == record
    with pytest.raises(Damaged, match="thing a is damaged"):
        stubbed.table.get("thing", "a")


def test_a_page_by_tag_reads_each_record_itself_since_the_index_lags(stubbed: Stubbed) -> None:
    """The index still lists `a`, which has another tag by now, and `b`, which is gone."""
    a, c = Record("thing", "a", 2, b"{}", "closed"), Record("thing", "c", 1, b"{}", "open")
    keys = [{"pk": {"S": "thing"}, "sk": {"S": id}} for id in "abc"]
    stubbed.answers.add_response("query", {"Items": keys})
    stubbed.answers.add_response("batch_get_item", {"Responses": {"lab": [
        item(c, tagged={"S": "thing#open"}), item(a, tagged={"S": "thing#closed"})]}})
    assert stubbed.table.page("thing", tag="open") == [c]


def test_what_a_batch_left_over_is_asked_for_again(stubbed: Stubbed) -> None:
    a, b = (Record("thing", id, 1, b"{}", "open") for id in "ab")
    keys = [{"pk": {"S": "thing"}, "sk": {"S": id}} for id in "ab"]
    left: dict[str, Any] = {"lab": {"Keys": keys[1:], "ConsistentRead": True}}
    stubbed.answers.add_response("query", {"Items": keys})
    stubbed.answers.add_response("batch_get_item", {"UnprocessedKeys": left, "Responses": {
        "lab": [item(a, tagged={"S": "thing#open"})]}})
    stubbed.answers.add_response("batch_get_item", {"Responses": {"lab": [item(b, tagged={"S": "thing#open"})]}},
                                 {"RequestItems": left})
    assert stubbed.table.page("thing", tag="open") == [a, b]
    assert len(stubbed.pauses) == 1


def test_a_delete_that_is_never_done_says_so(stubbed: Stubbed) -> None:
    left: dict[str, Any] = {"lab": [{"DeleteRequest": {"Key": {"pk": {"S": "thing"}, "sk": {"S": "a"}}}}]}
    for _ in range(TRIES):
        stubbed.answers.add_response("batch_write_item", {"UnprocessedItems": left})
    with pytest.raises(Unavailable, match="could not delete"):
        stubbed.table.delete("thing", ["a"])


def test_a_body_that_no_item_can_hold_is_refused_before_it_is_sent(stubbed: Stubbed) -> None:
    with pytest.raises(Refused, match="put large parts into the store"):
        stubbed.table.commit([Write("experiment", "e1", 0, b"x" * (BODY_LIMIT + 1))])


@pytest.mark.parametrize(("code", "fix"), [
    ("ResourceNotFoundException", "no such lab"), ("AccessDeniedException", "permission"),
    ("ExpiredTokenException", "sign in again"), ("UnrecognizedClientException", "AWS_PROFILE"),
    ("InternalServerError", "call again"), ("ValidationException", "report it")])
def test_an_error_of_aws_is_one_line_with_the_fix(stubbed: Stubbed, code: str, fix: str) -> None:
    stubbed.fails("get_item", code)
    with pytest.raises(Unavailable, match=f"DynamoDB table lab: {code}: no. really; .*{fix}") as error:
        stubbed.table.get("thing", "a")
    assert "\n" not in str(error.value)


def test_a_heartbeat_that_reaches_nobody_ends_within_the_grace_of_a_lease() -> None:
    """Two calls, each tried as often as it may be. The server takes what comes and never answers."""
    assert Terms().grace_s > 2 * CALL_S
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = connect(endpoint_url=f"http://127.0.0.1:{mute.getsockname()[1]}", region_name="us-east-1",
                         aws_access_key_id="test", aws_secret_access_key="test")
        since = time.monotonic()
        with pytest.raises(Unavailable, match="call again"):
            DynamoTable(client, "lab").get("thing", "a")
        assert time.monotonic() - since < CALL_S


def test_no_region_and_no_login_say_what_to_set() -> None:
    with pytest.raises(Unavailable, match="AWS_REGION"):
        connect()
    with pytest.raises(Unavailable, match="AWS_PROFILE"):
        DynamoTable(connect(region_name="us-east-1"), "lab").get("thing", "a")


def test_the_index_that_is_deployed_holds_keys_alone_and_costs_nothing_at_rest() -> None:
    (index,) = TABLE_SCHEMA["GlobalSecondaryIndexes"]
    assert (index["IndexName"], index["Projection"]) == ("by_tag", {"ProjectionType": "KEYS_ONLY"})
    assert TABLE_SCHEMA["BillingMode"] == "PAY_PER_REQUEST"
