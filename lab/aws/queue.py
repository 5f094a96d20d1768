"""The queue of a job class on SQS. What it loses, repeats or reorders does no harm: leases decide.

SQS promises less than a queue on one machine does: messages come in any order and may come twice; counts are estimates;
one delivery can be kept invisible for 12 hours at most, after which the hint comes again and is turned down at the
ledger; and a receipt that is no longer the newest may still delete its message, which the daemon then sends again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from lab.aws.clients import LISTEN_S
from lab.aws.errors import code_of, plain_errors
from lab.backend import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

LONGEST_INVISIBLE_S = 12 * 3600
# What SQS says of a receipt whose time is up, or whose message is gone or has been invisible for 12 hours.
STALE = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue", "InvalidParameterValueException",
                   "AWS.SimpleQueueService.MessageNotInflight", "MessageNotInflight"})


class SqsQueue:
    """Implements `lab.backend.Queue`. `listening` is a client that may wait longer than a heartbeat can."""

    def __init__(self, client: SQSClient, listening: SQSClient, name: str) -> None:
        self._client, self._listening, self._name = client, listening, name
        self._what = f"SQS queue {name}"

    @cached_property
    def url(self) -> str:
        with plain_errors(self._what):
            return self._client.get_queue_url(QueueName=self._name)["QueueUrl"]

    def send(self, body: str) -> str:
        with plain_errors(self._what):
            return self._client.send_message(QueueUrl=self.url, MessageBody=body)["MessageId"]

    def receive(self, invisible_s: float, wait_s: float = 0.0) -> Message | None:
        client = self._listening if wait_s else self._client
        with plain_errors(self._what):
            found = client.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=1, VisibilityTimeout=_whole(invisible_s),
                WaitTimeSeconds=int(min(wait_s, LISTEN_S)), MessageSystemAttributeNames=["ApproximateReceiveCount"],
            ).get("Messages")
        if not found:
            return None
        one = found[0]
        return Message(one["MessageId"], one["Body"], one["ReceiptHandle"],
                       int(one["Attributes"]["ApproximateReceiveCount"]))

    def extend(self, message: Message, invisible_s: float) -> None:
        with self._no_matter_if_stale():
            self._client.change_message_visibility(QueueUrl=self.url, ReceiptHandle=message.receipt,
                                                   VisibilityTimeout=_whole(invisible_s))

    def done(self, message: Message) -> None:
        with self._no_matter_if_stale():
            self._client.delete_message(QueueUrl=self.url, ReceiptHandle=message.receipt)

    def give_back(self, message: Message) -> None:
        """Killed in between, the work is hinted at twice; the second hint finds nothing to claim."""
        self.send(message.body)
        self.done(message)

    def waiting(self) -> int:
        return self._count("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible",
                           "ApproximateNumberOfMessagesDelayed")

    def visible(self) -> int:
        return self._count("ApproximateNumberOfMessages")

    def _count(self, *names: QueueAttributeNameType) -> int:
        with plain_errors(self._what):
            found = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))

    @contextmanager
    def _no_matter_if_stale(self) -> Iterator[None]:
        with plain_errors(self._what):
            try:
                yield
            except ClientError as error:
                if code_of(error) not in STALE:
                    raise


def _whole(seconds: float) -> int:
    return min(ceil(seconds), LONGEST_INVISIBLE_S)
