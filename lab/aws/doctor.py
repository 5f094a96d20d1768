"""The doctor of a lab on an account: login, clock, stacks, each part, whether instances can start, and whether anybody
gets the mail. It only reads.

One finding a line, with its fix. What cannot be looked at is a finding of its own, so nothing here raises.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from lab.aws import capacity, clients, stacks
from lab.aws.backend import names_here
from lab.aws.errors import code_of, plain_errors
from lab.aws.names import Names
from lab.aws.parts import Part, parts_of, require_lab
from lab.aws.prices import prices_of
from lab.aws.table import connect
from lab.errors import AetherError, NotFound, Refused
from lab.experiment import JOB_CLASSES
from lab.findings import AGAIN, Finding, failed

SKEW_S = 60.0  # AWS itself refuses requests beyond five minutes, and S3 beyond fifteen
CLOSED = ("403", "AccessDenied")


def examine(prefix: str) -> Iterator[Finding]:
    """What a person should know of the lab `prefix`; ends early where nothing more can be known."""
    try:
        names = names_here(prefix)
        yield Finding(name="login", found=f"account {names.account}, region {names.region}")
        yield _clock(names)
        parts = [(part, _there(part, names)) for part in parts_of(names)]
    except AetherError as error:
        yield failed("laboratory", error)
        return
    deployed = list(stacks.examine(names))
    nothing = not any(parts_there for _, parts_there in parts) and all(one.level == "note" for one in deployed)
    if nothing:
        yield _nowhere(names)
        return
    yield from deployed
    for part, there in parts:
        if isinstance(there, Finding):
            yield there
        elif there:
            yield from _looked_at(names, part)
        else:
            yield Finding(name=part.kind, found=f"{part.name} is missing", fix=AGAIN, level="bad")
    yield prices(names.region)
    yield from capacity.examine(names)


def _there(part: Part, names: Names) -> bool | Finding:
    """Whether it is, or why that cannot be told."""
    try:
        return part.there()
    except AetherError as error:
        cause = error.__cause__
        if part.name == names.bucket and isinstance(cause, ClientError) and code_of(cause) in CLOSED:
            return taken(part, names, clients.s3(region_name=names.region)) or failed(part.kind, error)
        return failed(part.kind, error)


def taken(part: Part, names: Names, client: Any) -> Finding | None:
    """A bucket's name is one for all accounts of the world; S3 says 403 of those that are not ours."""
    try:
        if names.bucket in _buckets(client, names.prefix):
            return None
    except AetherError:
        return None
    return Finding(name=part.kind, found=f"{part.name} is taken: the bucket belongs to another account", level="bad",
                   fix="deploy under another prefix (-c prefix=…)")


def _nowhere(names: Names) -> Finding:
    """There is none here; if its bucket stands in another region, that is the one which was meant."""
    try:
        require_lab(names)
    except NotFound as error:
        here = str(error)
    except AetherError as error:
        return failed("laboratory", error)
    else:  # it came while we looked
        return Finding(name="laboratory", found=f"the lab {names.prefix} is being deployed", level="note",
                       fix="look again in a minute")
    try:
        found = _buckets(clients.s3(region_name=names.region), names.prefix)
    except AetherError:
        found = []
    shape = re.compile(rf"{re.escape(names.prefix)}-store-{names.account}-(.+)")
    elsewhere = [shaped[1] for shaped in map(shape.fullmatch, found) if shaped and shaped[1] != names.region]
    found_here, _, fix = here.partition(": ")
    if elsewhere:
        return Finding(name="laboratory", found=f"{found_here}; there is one in {', '.join(elsewhere)}", level="bad",
                       fix=f"set AWS_REGION={elsewhere[0]}")
    return Finding(name="laboratory", found=found_here, fix=fix, level="bad")


def _buckets(client: Any, prefix: str) -> list[str]:
    with plain_errors("S3"):
        return [one["Name"] for one in client.list_buckets()["Buckets"] if one["Name"].startswith(f"{prefix}-store-")]


def _clock(names: Names) -> Finding:
    with plain_errors("AWS login"):
        answer = clients.sts(region_name=names.region).get_caller_identity()
    theirs = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
    skew_s = time.time() - theirs
    if abs(skew_s) > SKEW_S:
        return Finding(name="AWS's clock", found=f"this machine's is {skew_s:+.0f} s off it, and requests are refused",
                       fix="set the clock (`timedatectl set-ntp true`)", level="bad")
    return Finding(name="AWS's clock", found="this machine's agrees with it")


def prices(region: str) -> Finding:
    """Without them the daemon does not start."""
    try:
        known = prices_of(region)
    except Refused as error:
        found, _, fix = str(error).partition(": ")
        return Finding(name="prices", found=found, fix=fix, level="bad")
    return Finding(name="prices", found=f"of {region} as of {known.as_of}, by {known.source}")


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
        yield failed(part.kind, error)


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
