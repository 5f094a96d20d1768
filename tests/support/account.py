"""A laboratory's parts on the emulator, made by API as the deploy makes them. Before the first write it is proved that
nothing of AWS is reached: the endpoint is this machine, and STS answers with the emulator's own account.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import pytest

from lab.aws.names import Names
from lab.aws.table import connect, create_table
from lab.experiment import JOB_CLASSES
from support.servers import Endpoint

EMULATED = "000000000000"
RECEIVED_AT_MOST = 5  # before a message is put among the dead


@dataclass(frozen=True)
class Account:
    """An account that is proved to be the emulator's."""

    endpoint: Endpoint

    def __post_init__(self) -> None:
        prove_harmless(self.endpoint)

    def client(self, service: Any) -> Any:
        return boto3.client(service, **self.endpoint.settings)  # type: ignore[call-overload]

    def environment(self) -> dict[str, str]:
        """Of a process whose standard chain leads here."""
        return {"AWS_ENDPOINT_URL": self.endpoint.url, "AWS_REGION": self.endpoint.region,
                "AWS_ACCESS_KEY_ID": self.endpoint.access_key, "AWS_SECRET_ACCESS_KEY": self.endpoint.secret_key,
                "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "AWS_EC2_METADATA_DISABLED": "true"}

    def new_names(self) -> Names:
        return Names(f"t{uuid4().hex[:12]}", EMULATED, self.endpoint.region)

    def deploy(self, names: Names | None = None, *, without: tuple[str, ...] = ()) -> Names:
        """The parts of a lab, but for those named in `without`."""
        names = names or self.new_names()
        makers: dict[str, Callable[[], Any]] = {names.table: lambda: self._table(names),
                                                names.bucket: lambda: self._bucket(names.bucket),
                                                names.topic: lambda: self.client("sns").create_topic(Name=names.topic)}
        for name, make in makers.items():
            if name not in without:
                make()
        for job_class in JOB_CLASSES:
            if names.queue(job_class) not in without:
                self._queue(names, job_class)
        return names

    def tap(self, names: Names) -> Tap:
        """A queue that is subscribed to the topic of reports."""
        sqs, sns = self.client("sqs"), self.client("sns")
        url = sqs.create_queue(QueueName=f"{names.prefix}-tap")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=names.topic_arn, Protocol="sqs", Endpoint=arn)
        return Tap(sqs, url)

    def _table(self, names: Names) -> None:
        create_table(connect(**self.endpoint.settings), names.table)

    def _bucket(self, bucket: str) -> None:
        s3 = self.client("s3")
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def _queue(self, names: Names, job_class: str) -> None:
        sqs = self.client("sqs")
        dead = sqs.create_queue(QueueName=names.dead_queue(job_class))["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVED_AT_MOST}
        sqs.create_queue(QueueName=names.queue(job_class), Attributes={"RedrivePolicy": json.dumps(redrive)})


@dataclass(frozen=True)
class Tap:
    """Reads what was published: (subject, message)."""

    sqs: Any
    url: str

    def drain(self) -> list[tuple[str, str]]:
        found = []
        while messages := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                told = json.loads(message["Body"])
                found.append((told["Subject"], told["Message"]))
        return found


def prove_harmless(endpoint: Endpoint) -> None:
    """Nothing is written to an account that costs anyone money. Raises AssertionError."""
    host = urlsplit(endpoint.url).hostname or ""
    assert ip_address(host).is_loopback, f"{endpoint.url} is not this machine"
    told = boto3.client("sts", **endpoint.settings).get_caller_identity()["Account"]
    assert told == EMULATED, f"account {told} is not the emulator's"


@pytest.fixture(scope="session")
def account(emulator: Endpoint) -> Account:
    return Account(emulator)


@pytest.fixture
def signed_in(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The test's own process is signed in there, and keeps what it fetches in the test's folder. boto3 remembers who
    was signed in; nobody is before and after."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in (account.environment() | {"XDG_CACHE_HOME": str(tmp_path / "caches")}).items():
        monkeypatch.setenv(name, value)
    return account
