"""Opens the laboratory of a prefix on an account: DynamoDB, SQS, S3 and SNS, with credentials of the standard chain."""

from __future__ import annotations

import os
from pathlib import Path

import boto3

from lab.aws import clients
from lab.aws.bodies import S3Bodies
from lab.aws.cache import Cache
from lab.aws.errors import NO_REGION, plain_errors
from lab.aws.mailbox import SnsMailbox
from lab.aws.names import Names, require_prefix
from lab.aws.parts import require_lab
from lab.aws.queue import SqsQueue
from lab.aws.requests import Requests
from lab.aws.store import S3Store
from lab.aws.table import DynamoTable, connect
from lab.backend import Backend
from lab.clock import SystemClock
from lab.errors import Unavailable, UserError
from lab.experiment import JOB_CLASSES
from lab.ledger import Ledger


def open_aws(prefix: str) -> Backend:
    """The laboratory `prefix` of the account and region in force. Raises UserError where it cannot be reached."""
    try:
        names = names_here(prefix)
        require_lab(names)
        return assemble(names)
    except Unavailable as error:  # nothing runs yet, so it is for the person to mend
        raise UserError(str(error)) from error


def names_here(prefix: str) -> Names:
    """Asks STS who we are. Raises Unavailable where there is no region, no login or no network."""
    require_prefix(prefix)
    with plain_errors("AWS settings"):
        # boto3 alone of AWS's libraries does not look at AWS_REGION.
        region = os.environ.get("AWS_REGION") or boto3.session.Session().region_name
    if not region:
        raise Unavailable(f"aws:{prefix}: {NO_REGION}")
    with plain_errors("AWS login"):
        account = clients.sts(region_name=region).get_caller_identity()["Account"]
    return Names(prefix, account, region)


def assemble(names: Names) -> Backend:
    address, workplace = f"aws:{names.prefix}", workplace_of(names)
    there = {"region_name": names.region}
    requests = Requests()
    s3, sqs = requests.watched(clients.s3(**there)), requests.watched(clients.sqs(**there))
    listening = requests.watched(clients.listening_sqs(**there))
    table = DynamoTable(requests.watched(connect(**there)), names.table, S3Bodies(s3, names.bucket))
    return Backend(address=address, ledger=Ledger(table, SystemClock()), workplace=workplace, rented=True,
                   queues={name: SqsQueue(sqs, listening, names.queue(name)) for name in JOB_CLASSES},
                   store=S3Store(s3, names.bucket, Cache(workplace)),
                   requests=requests,
                   mailbox=SnsMailbox(requests.watched(clients.sns(**there)), names.topic_arn, address))


def workplace_of(names: Names) -> Path:
    """On this machine: fetched files, the scratch of attempts, logs. Nothing in it is missed when it is gone."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "aether" / f"{names.prefix}-{names.account}-{names.region}"
