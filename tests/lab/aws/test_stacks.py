"""Stacks that are whole, missing or half made: on the emulator's CloudFormation, and by the events that AWS writes."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from lab.aws import stacks
from lab.aws.stacks import first_failure
from support.account import Account

STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/lab-data/1"


def event(logical: str, status: str, reason: str = "", physical: str = "x") -> dict[str, Any]:
    return {"StackId": STACK, "LogicalResourceId": logical, "PhysicalResourceId": physical, "ResourceStatus": status,
            "ResourceStatusReason": reason}


def template(resource: dict[str, Any]) -> str:
    return json.dumps({"Resources": {"One": resource}})


def test_the_first_failure_of_the_last_deploy_is_the_one_that_is_told() -> None:
    newest_first = [
        event("lab-data", "ROLLBACK_COMPLETE", physical=STACK),
        event("Ledger", "CREATE_FAILED", "Resource creation cancelled"),
        event("Store", "CREATE_FAILED", "lab-store-1-us-east-1\n already exists"),
        event("lab-data", "CREATE_IN_PROGRESS", "User Initiated", physical=STACK),
        event("Store", "CREATE_FAILED", "of a deploy before")]
    assert first_failure(newest_first) == "Store: lab-store-1-us-east-1 already exists"


@pytest.mark.ci
def test_a_stack_that_is_missing_is_named_with_how_to_deploy_it(signed_in: Account) -> None:
    names, client = signed_in.new_names(), signed_in.client("cloudformation")
    for name in names.stacks[:-1]:
        client.create_stack(StackName=name, TemplateBody=template(
            {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "1", "Name": name}}))
        client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    [whole, missing] = stacks.examine(names)
    assert (whole.level, whole.found) == ("ok", f"{', '.join(names.stacks[:-1])} are whole")
    assert (missing.level, missing.found) == ("bad", f"{names.stacks[-1]} is missing: the lab is half deployed")
    assert f"npx cdk deploy {names.stacks[-1]}" in missing.fix


@pytest.mark.ci
def test_a_stack_that_failed_says_what_failed_and_how_to_adopt_what_is_there(signed_in: Account) -> None:
    names, client = signed_in.deploy(), signed_in.client("cloudformation")
    data = names.stacks[1]
    client.create_stack(StackName=data, TemplateBody=template(
        {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": names.bucket}}))
    while client.describe_stacks(StackName=data)["Stacks"][0]["StackStatus"] != "ROLLBACK_COMPLETE":
        time.sleep(0.1)
    [found] = [one for one in stacks.examine(names) if one.found.startswith(f"{data} is half deployed")]
    assert found.level == "bad"
    assert f"{names.bucket}' already exists" in found.found
    here = f" -c prefix={names.prefix}"
    adopt = f'npx cdk import {data} --resource-mapping-inline "$(python -m cdk.kept {names.prefix})"{here}'
    gone = f"npx cdk destroy {data} --exclusively --force{here}"
    assert found.fix == f"take away what was begun (`{gone}`), adopt what is there (`{adopt}`), then deploy it again"


@pytest.mark.ci
@pytest.mark.parametrize(("others", "level"), [(False, "note"), (True, "bad")])
def test_what_a_destroy_has_left_is_to_be_adopted_before_anything_is_deployed(
        signed_in: Account, others: bool, level: str) -> None:
    names = signed_in.deploy()
    if others:
        client = signed_in.client("cloudformation")
        client.create_stack(StackName=names.stacks[0], TemplateBody=template(
            {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "1", "Name": names.prefix}}))
        client.get_waiter("stack_create_complete").wait(StackName=names.stacks[0], WaiterConfig={"Delay": 1})
    found = list(stacks.examine(names))
    assert (found[0].level, found[0].found) == (
        level, f"{names.stacks[1]} is missing, and the ledger {names.table} is there")
    assert found[0].fix.startswith("adopt what a destroy has left (`npx cdk import")
    assert len([one for one in found if names.stacks[1] in one.found]) == 1


@pytest.mark.ci
def test_a_lab_that_no_stack_made_is_worth_a_note_alone(signed_in: Account) -> None:
    [found] = stacks.examine(signed_in.new_names())
    assert found.level == "note"
