"""Whether the parts of a laboratory are there: what is said where none is, and where a deploy has stopped half way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from lab.aws import clients
from lab.aws.errors import code_of, plain_errors
from lab.aws.names import Names
from lab.aws.table import connect
from lab.errors import NotFound

ABSENT = frozenset({"404", "AWS.SimpleQueueService.NonExistentQueue", "NoSuchBucket", "NotFound",
                    "NotFoundException", "ResourceNotFoundException"})


class Part(NamedTuple):
    """`look` is a request that fails where the part is missing."""

    kind: str
    name: str
    look: Callable[[], Any]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    def there(self) -> bool:
        with plain_errors(str(self)):
            try:
                self.look()
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return False
                raise
        return True


def table_of(names: Names) -> Part:
    client = connect(region_name=names.region)
    return Part("DynamoDB table", names.table, lambda: client.describe_table(TableName=names.table))


def parts_of(names: Names) -> Iterator[Part]:
    """All that a lab needs, each with one request."""
    yield table_of(names)
    there = {"region_name": names.region}
    s3, sqs, sns = clients.s3(**there), clients.sqs(**there), clients.sns(**there)
    yield Part("S3 bucket", names.bucket, lambda: s3.head_bucket(Bucket=names.bucket))
    for name in names.queues:
        yield Part("SQS queue", name, partial(sqs.get_queue_url, QueueName=name))
    yield Part("SNS topic", names.topic, lambda: sns.get_topic_attributes(TopicArn=names.topic_arn))


def require_lab(names: Names) -> None:
    """Raises NotFound, with the fix, unless the table is there: the part that everything needs."""
    if table_of(names).there():
        return
    where = f"in account {names.account}, region {names.region}"
    parts = list(parts_of(names))
    gone = [str(part) for part in parts if not part.there()]
    if len(gone) == len(parts):
        raise NotFound(f"there is no lab {names.prefix} {where}: deploy it (`npx cdk deploy --all`), or check the "
                       f"prefix, AWS_PROFILE and AWS_REGION")
    raise NotFound(f"the lab {names.prefix} {where} is half deployed: it has no {', no '.join(gone)}; deploy it again")
