"""The doctor of a lab on an account: login, clock, each part, and whether anybody gets the mail. It only reads.

One finding a line, with its fix. What cannot be looked at is a finding of its own, so nothing here raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Literal

import msgspec

from lab.aws import clients
from lab.aws.backend import names_here
from lab.aws.errors import plain_errors
from lab.aws.names import Names
from lab.aws.parts import Part, parts_of, require_lab
from lab.aws.table import connect
from lab.errors import AetherError
from lab.experiment import JOB_CLASSES

SKEW_S = 60.0  # AWS itself refuses requests beyond five minutes, and S3 beyond fifteen
AGAIN = "deploy it again"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`note` is worth knowing; only `bad` has to be mended."""

    name: str
    found: str
    fix: str = ""
    level: Literal["ok", "note", "bad"] = "ok"


def examine(prefix: str) -> Iterator[Finding]:
    """What a person should know of the lab `prefix`; ends early where nothing more can be known."""
    try:
        names = names_here(prefix)
        yield Finding(name="login", found=f"account {names.account}, region {names.region}")
        yield _clock(names)
        parts = list(parts_of(names))
        missing = [part for part in parts if not part.there()]
        if len(missing) == len(parts):
            require_lab(names)
    except AetherError as error:
        yield _failed("laboratory", error)
        return
    for part in parts:
        if part in missing:
            yield Finding(name=part.kind, found=f"{part.name} is missing", fix=AGAIN, level="bad")
        else:
            yield from _looked_at(names, part)


def _clock(names: Names) -> Finding:
    with plain_errors("AWS login"):
        answer = clients.sts(region_name=names.region).get_caller_identity()
    theirs = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
    skew_s = time.time() - theirs
    if abs(skew_s) > SKEW_S:
        return Finding(name="AWS's clock", found=f"this machine's is {skew_s:+.0f} s off it, and requests are refused",
                       fix="set the clock (`timedatectl set-ntp true`)", level="bad")
    return Finding(name="AWS's clock", found="this machine's agrees with it")


def _looked_at(names: Names, part: Part) -> Iterator[Finding]:
    there = {"region_name": names.region}
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        names.table: partial(_table, part, connect(**there)), names.bucket: partial(_bucket, part, clients.s3(**there)),
        names.topic: partial(mail, part, names, clients.sns(**there))}
    for one in JOB_CLASSES:
        looks[names.queue(one)] = partial(_queue, part, clients.sqs(**there))
        looks[names.dead_queue(one)] = partial(_dead_queue, part, clients.sqs(**there))
    try:
        with plain_errors(str(part)):
            yield from looks[part.name]()
    except AetherError as error:
        yield _failed(part.kind, error)


def _table(part: Part, client: Any) -> Iterator[Finding]:
    told = client.describe_continuous_backups(TableName=part.name)["ContinuousBackupsDescription"]
    if told.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") != "ENABLED":
        yield Finding(name=part.kind, found=f"{part.name} has no point-in-time recovery", fix=AGAIN, level="note")
    else:
        yield Finding(name=part.kind, found=f"{part.name}, with point-in-time recovery")


def _bucket(part: Part, client: Any) -> Iterator[Finding]:
    """Without versions a file that is stored while it is being swept would be lost."""
    if client.get_bucket_versioning(Bucket=part.name).get("Status") != "Enabled":
        yield Finding(name=part.kind, found=f"{part.name} keeps no versions", fix=AGAIN, level="bad")
    else:
        yield Finding(name=part.kind, found=f"{part.name}, with versions")


def _waiting(part: Part, client: Any) -> int:
    url = client.get_queue_url(QueueName=part.name)["QueueUrl"]
    told = client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(told["Attributes"]["ApproximateNumberOfMessages"])


def _queue(part: Part, client: Any) -> Iterator[Finding]:
    yield Finding(name=part.kind, found=f"{part.name}, about {_waiting(part, client)} waiting")


def _dead_queue(part: Part, client: Any) -> Iterator[Finding]:
    if dead := _waiting(part, client):
        yield Finding(name=part.kind, found=f"{part.name} holds about {dead} messages that were received too often",
                      level="note")
    else:
        yield Finding(name=part.kind, found=f"{part.name} is empty")


def mail(part: Part, names: Names, client: Any) -> Iterator[Finding]:
    """Who gets the reports. SNS lists an address that has not confirmed without an ARN of its own."""
    pages = client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=names.topic_arn)
    mails = [one for page in pages for one in page["Subscriptions"] if one["Protocol"] in ("email", "email-json")]
    pending = [one["Endpoint"] for one in mails if not one["SubscriptionArn"].startswith("arn:")]
    if pending:
        yield Finding(name=part.kind, found=f"mail to {', '.join(pending)} waits to be confirmed", level="bad",
                      fix="open the mail from AWS Notifications there and confirm it; look among the spam as well")
    elif not mails:
        yield Finding(name=part.kind, found=f"nobody gets the reports of {part.name} by mail", level="note",
                      fix="deploy it with an address (-c email=…)")
    else:
        yield Finding(name=part.kind, found=f"{part.name}, reports go to {', '.join(one['Endpoint'] for one in mails)}")


def _failed(name: str, error: AetherError) -> Finding:
    found, _, fix = str(error).rpartition("; ")
    return Finding(name=name, found=found or fix, fix=fix if found else "", level="bad")
