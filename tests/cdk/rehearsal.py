"""A deploy from the first to the last command, run by test_deploy.py in a network of its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from cdk.boot import instance
from gpu_workers.sandbox.canary import sandbox_here
from lab.aws.table import TABLE_SCHEMA
from lab.backend import open_backend
from lab.clock import month_key
from lab.money import to_micro
from support.account import EMULATED
from support.cloud import REGION, cdk, emulator, raise_loopback
from support.templates import MODEL, SECRET
from tests.cdk.living import NAMES, credentials_of, lives

NO_BOX = "no box can be made here, so no laboratory lives"
CHOSEN = ("-c", f"prefix={NAMES.prefix}", "-c", "email=a@example.com", "-c", "monthlyBudget=500",
          "-c", "disposable=true", "-c", f"llmSecret={SECRET}", "-c", f"bedrockModel={MODEL}")


def main(folder: Path) -> None:
    raise_loopback()
    (folder / "home").mkdir()
    with emulator(folder) as reach:
        def run(*arguments: str, cwd: Path | None = None) -> str:
            begun = time.monotonic()
            told = cdk(*arguments, folder=folder / "home", reach=reach, **({"cwd": cwd} if cwd else {}))
            print(f"{time.monotonic() - begun:6.1f} s  cdk {arguments[0]}", flush=True)
            return told

        run("bootstrap", f"aws://{EMULATED}/{REGION}", cwd=folder)
        out = str(folder / "cdk.out")
        run("deploy", "--all", "--require-approval", "never", "--concurrency", "2", "--output", out, *CHOSEN)
        deployed(folder)
        if sandbox_here().works:
            begun = time.monotonic()
            lives(folder)
            print(f"{time.monotonic() - begun:6.1f} s  a laboratory's life", flush=True)
        else:
            print(NO_BOX)
        run("deploy", f"{NAMES.prefix}-lab", "--exclusively", "--require-approval", "never", "--output", out, *CHOSEN,
            "-c", "email=b@example.com")
        another_is_told()
        assert "differences: 0" in run("diff", "--all", "--fail", "--app", out)
        run("destroy", "--all", "--force", "--app", out)
        nothing_is_left()


def deployed(folder: Path) -> None:
    table = boto3.client("dynamodb").describe_table(TableName=NAMES.table)["Table"]
    assert table["KeySchema"] == TABLE_SCHEMA["KeySchema"]
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    backend = open_backend(f"aws:{NAMES.prefix}")
    assert backend.ledger.office.control().settings == 1, "the deploy has put settings in force"
    month = backend.ledger.accounts.balance(month_key(time.time()))
    assert month is not None
    assert month.cap == to_micro(500.0), "and the cap that it named"
    hash = backend.store.put_bytes(b"kept")
    assert backend.store.read(hash) == b"kept"
    backend.queues["gpu"].send("e00001")
    worker, orchestrator = as_role("gpu"), as_role("orchestrator")
    may(worker("sqs").get_queue_url, QueueName=NAMES.queue("gpu"))
    may(worker("dynamodb").get_item, TableName=NAMES.table, Key={"pk": {"S": "head"}, "sk": {"S": "changes"}})
    may(worker("s3").put_object, Bucket=NAMES.bucket, Key="objects/00/x", Body=b"x")
    may(worker("s3").get_object, Bucket=NAMES.bucket, Key="objects/00/x")
    may(worker("s3").delete_object, Bucket=NAMES.bucket, Key="objects/00/x")
    boto3.client("s3").put_object(Bucket=NAMES.bucket, Key="elsewhere/x", Body=b"x")
    may_not(worker("s3").get_object, Bucket=NAMES.bucket, Key="elsewhere/x")
    boto3.client("s3").put_object(Bucket=NAMES.site, Key="objects/00/x", Body=b"x")
    may_not(worker("s3").get_object, Bucket=NAMES.site, Key="objects/00/x")
    may_not(worker("s3").list_objects_v2, Bucket=NAMES.site)
    may_not(worker("dynamodb").get_item, TableName=f"{NAMES.table}-other", Key={"pk": {"S": "head"}, "sk": {"S": "x"}})
    may_not(worker("s3").delete_object, Bucket=NAMES.bucket, Key="pointers/clips")
    may_not(orchestrator("s3").delete_object, Bucket=NAMES.bucket, Key="objects/00/x")
    may_not(worker("s3").put_object, Bucket=NAMES.bucket, Key="elsewhere/x", Body=b"x")
    may_not(worker("dynamodb").delete_table, TableName=NAMES.table)
    may_not(worker("dynamodb").delete_item, TableName=NAMES.table, Key={"pk": {"S": "head"}, "sk": {"S": "x"}})
    may_not(worker("sqs").get_queue_url, QueueName=NAMES.queue("cpu"))
    may_not(worker("autoscaling").set_desired_capacity, AutoScalingGroupName=f"{NAMES.prefix}-gpu", DesiredCapacity=2)
    may_not(worker("ec2").run_instances, ImageId="ami-1", MinCount=1, MaxCount=1)
    may_not(orchestrator("dynamodb").delete_table, TableName=NAMES.table)
    url = boto3.client("sqs").get_queue_url(QueueName=NAMES.queue("cpu"))["QueueUrl"]
    may(orchestrator("sqs").send_message, QueueUrl=url, MessageBody="e00002")
    may_not(orchestrator("sqs").receive_message, QueueUrl=url)
    may_not(worker("sqs").receive_message, QueueUrl=url)
    functions_are_kept_within_their_duties()
    the_orchestrator_alone_asks_models()
    logs_arrive(folder / "logs", worker)


def another_is_told() -> None:
    """The budget of another mail address has taken the place of the first."""
    [budget] = boto3.client("budgets").describe_budgets(AccountId=EMULATED)["Budgets"]
    [notice, *_] = boto3.client("budgets").describe_notifications_for_budget(
        AccountId=EMULATED, BudgetName=budget["BudgetName"])["Notifications"]
    told = boto3.client("budgets").describe_subscribers_for_notification(
        AccountId=EMULATED, BudgetName=budget["BudgetName"], Notification=notice)["Subscribers"]
    assert "b@example.com" in [one["Address"] for one in told]


def functions_are_kept_within_their_duties() -> None:
    report, guard, fleet, dead = (as_role(one) for one in ("report", "guard", "fleet", "dead-letters"))
    groups = [NAMES.group(one) for one in ("cpu", "gpu", "orchestrator")]
    page, text = {"Bucket": NAMES.site, "Key": "index.html", "Body": b"<!doctype html>"}, {"MessageBody": "e00002"}
    may(report("s3").put_object, **page)
    may_not(report("s3").put_object, **page | {"Key": "elsewhere.html"})
    may(guard("autoscaling").update_auto_scaling_group, AutoScalingGroupName=groups[0], MaxSize=4)
    for role in (report, fleet, dead, as_role("orchestrator")):
        may_not(role("autoscaling").update_auto_scaling_group, AutoScalingGroupName=groups[0], MaxSize=4)
    may_not(guard("autoscaling").update_auto_scaling_group, AutoScalingGroupName=groups[2], MaxSize=0)
    image = boto3.client("ec2").run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)
    foreign = [one["InstanceId"] for one in image["Instances"]]
    may_not(guard("ec2").terminate_instances, InstanceIds=foreign)
    boto3.client("ec2").terminate_instances(InstanceIds=foreign)
    work, graves = (boto3.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
                    for name in (NAMES.queue("cpu"), NAMES.dead_queue("cpu")))
    may(fleet("sqs").send_message, QueueUrl=work, **text)
    may(dead("sqs").receive_message, QueueUrl=graves)
    may_not(dead("sqs").receive_message, QueueUrl=work)
    for role in (report, guard, fleet, dead):
        may_not(role("dynamodb").delete_table, TableName=NAMES.table)
        may_not(role("s3").delete_object, Bucket=NAMES.bucket, Key="objects/00/x")
        may_not(role("ec2").run_instances, ImageId="ami-1", MinCount=1, MaxCount=1)
        may_not(role("lambda").invoke, FunctionName=f"{NAMES.prefix}-guard")
    for role in (report, guard, dead):
        may_not(role("sqs").send_message, QueueUrl=work, **text)
    for role in (guard, fleet, dead, as_role("cpu")):
        may_not(role("s3").put_object, **page)


def the_orchestrator_alone_asks_models() -> None:
    """The key and the other secret are a person's, no part of the deploy."""
    for name in (SECRET, f"{SECRET}-other"):
        boto3.client("secretsmanager").create_secret(Name=name, SecretString="a key")
    orchestrator, asked = as_role("orchestrator"), {"body": b"{}", "contentType": "application/json"}
    may(orchestrator("secretsmanager").get_secret_value, SecretId=SECRET)
    may_not(orchestrator("secretsmanager").get_secret_value, SecretId=f"{SECRET}-other")
    may_not(orchestrator("secretsmanager").put_secret_value, SecretId=SECRET, SecretString="another")
    may(orchestrator("bedrock-runtime").invoke_model, modelId=MODEL, **asked)
    may_not(orchestrator("bedrock-runtime").invoke_model, modelId="anthropic.claude-dearer-v1:0", **asked)
    for role in ("cpu", "gpu", "report", "guard", "fleet", "dead-letters"):
        may_not(as_role(role)("secretsmanager").get_secret_value, SecretId=SECRET)
        may_not(as_role(role)("bedrock-runtime").invoke_model, modelId=MODEL, **asked)
    for name in (SECRET, f"{SECRET}-other"):
        boto3.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def logs_arrive(folder: Path, worker: Callable[[str], Any]) -> None:
    """A line that is not whole yet waits for its end, also that of a machine that starts again meanwhile."""
    folder.mkdir()
    log, sent = folder / "boot.log", dict[Path, int]()
    os.environ["AETHER_LOG_GROUP"] = group = f"/aether/{NAMES.prefix}/gpu"
    log.write_text("first\nsec")
    instance.send_logs(worker("logs"), folder, "i-1", sent)
    log.write_text("first\nsecond\n")
    instance.remember(sent, folder / "sent.json")
    instance.send_logs(worker("logs"), folder, "i-1", instance.already_sent(folder / "sent.json"))
    found = boto3.client("logs").get_log_events(logGroupName=group, logStreamName="i-1/boot", startFromHead=True)
    assert [event["message"] for event in found["events"]] == ["first", "second"]


def as_role(role: str) -> Callable[[str], Any]:
    given = {name.lower(): value for name, value in credentials_of(role).items()}
    return lambda service: boto3.client(service, **given)  # type: ignore[call-overload]


def may(request: Any, **arguments: Any) -> None:
    request(**arguments)


def may_not(request: Any, **arguments: Any) -> None:
    with pytest.raises(ClientError, match=r"AccessDenied|UnauthorizedOperation"):
        request(**arguments)


def nothing_is_left() -> None:
    assert boto3.client("dynamodb").list_tables()["TableNames"] == []
    assert [one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]
            if one["Name"].startswith(NAMES.prefix)] == []
    assert boto3.client("sqs").list_queues(QueueNamePrefix=NAMES.prefix).get("QueueUrls", []) == []
    assert boto3.client("sns").list_topics()["Topics"] == []
    assert [one for one in boto3.client("iam").list_roles()["Roles"] if NAMES.prefix in one["RoleName"]] == []
    assert boto3.client("logs").describe_log_groups(logGroupNamePrefix=f"/aether/{NAMES.prefix}")["logGroups"] == []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
