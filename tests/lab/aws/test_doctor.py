"""The doctor of an account's lab: every part by name, and a fix for what is not as it should be."""

from __future__ import annotations

import pytest
from botocore.stub import Stubber

from lab.aws import clients, doctor
from lab.aws.doctor import examine, mail, taken
from lab.aws.names import Names
from lab.aws.parts import Part
from lab.findings import Finding
from support.account import Account


def findings(prefix: str) -> dict[str, Finding]:
    return {one.name if one.level != "bad" else f"bad {one.name}": one for one in examine(prefix)}


def test_without_a_login_there_is_one_finding_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    [found] = examine("lab")
    assert (found.level, found.fix) == ("bad", "set AWS_PROFILE or sign in (`aws configure`)")


@pytest.mark.ci
def test_a_lab_that_is_whole_has_nothing_to_mend(signed_in: Account) -> None:
    names = signed_in.deploy()
    found = list(examine(names.prefix))
    assert [one for one in found if one.level == "bad"] == []
    told = " ".join(one.found for one in found)
    for name in (names.table, names.bucket, *names.queues, names.topic, names.account):
        assert name in told


@pytest.mark.ci
def test_a_prefix_without_a_lab_is_one_finding(signed_in: Account) -> None:
    found = findings("nowhere")
    assert "there is no lab nowhere in account 000000000000" in found["bad laboratory"].found
    assert len(found) == 3  # beside login and clock


@pytest.mark.ci
def test_each_part_that_is_missing_is_named(signed_in: Account) -> None:
    names = signed_in.new_names()
    signed_in.deploy(names, without=(names.topic, names.queue("gpu")))
    bad = [(one.found, one.fix) for one in examine(names.prefix) if one.level == "bad"]
    assert bad == [(f"{name} is missing", "deploy it again")
                   for name in (names.queue("gpu"), names.dead_queue("gpu"), names.topic)]


def test_a_mail_address_that_is_not_confirmed_is_told_with_what_to_do() -> None:
    """Stubbed with what AWS answers: the emulator confirms every address by itself."""
    names = Names("lab", "123456789012", "us-east-1")
    client = clients.sns(region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    with Stubber(client) as answers:
        answers.add_response("list_subscriptions_by_topic", {"Subscriptions": [
            {"SubscriptionArn": "PendingConfirmation", "Protocol": "email", "Endpoint": "me@example.com"}]})
        [found] = mail(Part("SNS topic", names.topic, lambda: None), names, client)
    assert (found.level, found.found) == ("bad", "mail to me@example.com waits to be confirmed")
    assert "confirm it" in found.fix


@pytest.mark.ci
def test_who_gets_the_mail_is_told(signed_in: Account) -> None:
    names = signed_in.deploy()
    signed_in.client("sns").subscribe(TopicArn=names.topic_arn, Protocol="email", Endpoint="me@example.com")
    assert findings(names.prefix)["SNS topic"].found == f"{names.topic}, reports go to me@example.com"


@pytest.mark.ci
def test_a_bucket_without_versions_and_dead_messages_are_told(signed_in: Account) -> None:
    names = signed_in.deploy()
    signed_in.client("s3").put_bucket_versioning(Bucket=names.bucket, VersioningConfiguration={"Status": "Suspended"})
    sqs = signed_in.client("sqs")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=names.dead_queue("cpu"))["QueueUrl"], MessageBody="e1")
    told = {one.found: one.level for one in examine(names.prefix)}
    assert told[f"{names.bucket} keeps no versions"] == "bad"
    assert told[f"{names.dead_queue('cpu')} holds about 1 messages that were received too often"] == "note"


@pytest.mark.ci
def test_a_clock_that_is_off_is_told(signed_in: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    names, now = signed_in.deploy(), doctor.time.time()
    monkeypatch.setattr(doctor, "time", type("Wrong", (), {"time": staticmethod(lambda: now + 400)}))
    assert "+" in findings(names.prefix)["bad AWS's clock"].found


def test_a_bucket_whose_name_another_account_has_is_told() -> None:
    """Stubbed: the emulator has one account. S3 says 403 of a bucket that is not ours."""
    names = Names("lab", "123456789012", "us-east-1")
    part = Part("S3 bucket", names.bucket, lambda: None)
    client = clients.s3(region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    with Stubber(client) as answers:
        answers.add_response("list_buckets", {"Buckets": [{"Name": "lab-store-of-somebody"}]})
        found = taken(part, names, client)
        answers.add_response("list_buckets", {"Buckets": [{"Name": names.bucket}]})
        ours = taken(part, names, client)
    assert found is not None
    assert (found.level, found.fix) == ("bad", "deploy under another prefix (-c prefix=…)")
    assert "belongs to another account" in found.found
    assert ours is None  # it is ours, and closed to this role: another fault


@pytest.mark.ci
def test_a_lab_in_another_region_is_pointed_to(signed_in: Account) -> None:
    names = signed_in.new_names()
    there = f"{names.prefix}-store-{names.account}-eu-west-1"
    signed_in.client("s3").create_bucket(Bucket=there)
    found = findings(names.prefix)["bad laboratory"]
    assert "region us-east-1; there is one in eu-west-1" in found.found
    assert found.fix == "set AWS_REGION=eu-west-1"
