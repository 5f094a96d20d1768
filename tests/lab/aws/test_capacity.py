"""Whether instances can start. Stubbed with what AWS answers: no emulator has quotas, or a scaling that fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from lab.aws import capacity, clients
from lab.aws.names import Names
from lab.findings import Finding

NAMES = Names("lab", "123456789012", "us-east-1")
WHERE: dict[str, Any] = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
NO_SPOT = ("Could not launch Spot Instances. MaxSpotInstanceCountExceeded - Max spot instance count exceeded. "
           "Launching EC2 instance failed.")
Stubs = tuple[Stubber, Stubber]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubs]:
    """Of Auto Scaling and of Service Quotas."""
    autoscaling, quotas = clients.autoscaling(**WHERE), clients.quotas(**WHERE)
    monkeypatch.setattr(clients, "autoscaling", lambda **where: autoscaling)
    monkeypatch.setattr(clients, "quotas", lambda **where: quotas)
    with Stubber(autoscaling) as groups, Stubber(quotas) as limits:
        yield groups, limits
        groups.assert_no_pending_responses()
        limits.assert_no_pending_responses()


def group(role: str, most: int) -> dict[str, Any]:
    return {"AutoScalingGroupName": NAMES.group(role), "MinSize": 0, "MaxSize": most, "DesiredCapacity": 0,
            "DefaultCooldown": 300, "AvailabilityZones": ["us-east-1a"], "HealthCheckType": "EC2", "Instances": [],
            "CreatedTime": datetime(2026, 11, 1, tzinfo=UTC)}


def activity(status: str, message: str = "") -> dict[str, Any]:
    return {"ActivityId": "1", "AutoScalingGroupName": "g", "Cause": "an alarm", "StatusCode": status,
            "Description": "Launching a new EC2 instance", **({"StatusMessage": message} if message else {}),
            "StartTime": datetime(2026, 11, 1, tzinfo=UTC)}


def only(role: str, answers: Stubs, *, most: int, activities: list[dict[str, Any]] | None = None,
         quota: float | None = None) -> list[Finding]:
    """What is found of one group, where the others were left out of the deploy."""
    groups, limits = answers
    groups.add_response("describe_auto_scaling_groups", {"AutoScalingGroups": [group(role, most)]})
    groups.add_response("describe_scaling_activities", {"Activities": activities or []})
    if quota is not None:
        limits.add_response("get_service_quota", {"Quota": {"Value": quota}}, {
            "ServiceCode": "ec2", "QuotaCode": capacity.QUOTAS[role].code})
    return [one for one in capacity.examine(NAMES) if role in one.name]


def test_a_quota_of_zero_gpu_instances_says_which_quota_to_raise(answers: Stubs) -> None:
    _, found = only("gpu", answers, most=2, quota=0.0)
    assert (found.level, found.found) == ("bad", "0 vCPUs, and one instance needs 4: none can start")
    assert "All G and VT Spot Instance Requests" in found.fix
    assert "--quota-code L-3819A6DF --desired-value 8" in found.fix


@pytest.mark.parametrize(("value", "level", "told"), [
    (5.0, "note", "enough for 1 of 4 instances"), (64.0, "ok", "enough for all 4 instances")])
def test_a_quota_says_how_many_instances_it_is_enough_for(answers: Stubs, value: float, level: str, told: str) -> None:
    _, found = only("cpu", answers, most=4, quota=value)
    assert found.level == level
    assert told in found.found


def test_a_quota_that_nobody_has_changed_is_its_default(answers: Stubs) -> None:
    _, limits = answers
    limits.add_client_error("get_service_quota", "NoSuchResourceException")
    limits.add_response("get_aws_default_service_quota", {"Quota": {"Value": 0.0}})
    _, found = only("gpu", answers, most=1)
    assert found.level == "bad"


def test_a_quota_that_may_not_be_read_is_a_note_and_hides_no_group(answers: Stubs) -> None:
    answers[1].add_client_error("get_service_quota", "AccessDeniedException")
    standing, found = only("gpu", answers, most=1)
    assert (standing.level, found.level) == ("ok", "note")


def test_a_fleet_that_nobody_wants_needs_no_quota(answers: Stubs) -> None:
    assert [one.level for one in only("gpu", answers, most=0)] == ["ok"]


@pytest.mark.parametrize(("message", "fix"), [
    (NO_SPOT, "L-3819A6DF"), ("UnfulfillableCapacity - Unable to fulfill capacity", "tries again by itself"),
    ("The instance profile is not valid", "mend what it says")])
def test_the_last_start_that_failed_is_told_with_its_fix(answers: Stubs, message: str, fix: str) -> None:
    found = only("gpu", answers, most=1, quota=64.0, activities=[
        activity("InProgress"), activity("Failed", message), activity("Successful")])[0]
    assert found.level == "bad"
    assert message in found.found
    assert fix in found.fix


def test_a_failure_that_was_followed_by_a_start_is_over(answers: Stubs) -> None:
    found = only("cpu", answers, most=1, quota=64.0, activities=[activity("Successful"), activity("Failed", NO_SPOT)])
    assert [one.level for one in found] == ["ok", "ok"]


def test_a_group_that_is_missing_beside_others_is_told(answers: Stubs) -> None:
    groups, limits = answers
    groups.add_response("describe_auto_scaling_groups", {"AutoScalingGroups": [group("cpu", 1)]})
    groups.add_response("describe_scaling_activities", {"Activities": []})
    limits.add_response("get_service_quota", {"Quota": {"Value": 64.0}})
    bad = [one.name for one in capacity.examine(NAMES) if one.level == "bad"]
    assert bad == ["group lab-orchestrator", "group lab-gpu"]
