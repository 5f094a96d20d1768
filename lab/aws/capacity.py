"""Whether the instances of a lab can start: the quotas that they count against, and what the groups last ran into.

A new account may run no GPU at all: its quota is zero, nothing fails visibly, and the work waits for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from lab.aws import clients
from lab.aws.errors import code_of, plain_errors
from lab.aws.names import Names
from lab.errors import AetherError
from lab.findings import AGAIN, Finding, failed

NOTHING_APPLIED = "NoSuchResourceException"  # then the default counts
ENDED = ("Successful", "Failed", "Cancelled")
NO_ROOM = "AWS has none to give now: it tries again by itself; more zones (-c zones=) have more"


class Quota(NamedTuple):
    """Of EC2, counted in virtual processors; `each` is what the smallest instance of the fleet takes."""

    code: str
    called: str
    each: int


QUOTAS = {
    "orchestrator": Quota("L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 2),
    "cpu": Quota("L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 4),
    "gpu": Quota("L-3819A6DF", "All G and VT Spot Instance Requests", 4),
}


def examine(names: Names) -> Iterator[Finding]:
    """A line for each group and one for its quota."""
    autoscaling = clients.autoscaling(region_name=names.region)
    quotas = clients.quotas(region_name=names.region)
    try:
        groups = _groups(autoscaling, [names.group(role) for role in QUOTAS])
        if not groups:
            yield Finding(name="groups", found="there are none: daemon and workers run where people start them",
                          level="note")
            return
        for role, quota in QUOTAS.items():
            group = groups.get(names.group(role))
            yield _standing(autoscaling, names.group(role), group, quota)
            if group is not None and group["MaxSize"]:
                yield _allowed(quotas, role, quota, group["MaxSize"])
    except AetherError as error:
        yield failed("groups", error, "note")


def _groups(client: Any, names: list[str]) -> dict[str, Any]:
    with plain_errors("Auto Scaling"):
        found = client.describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
    return {one["AutoScalingGroupName"]: one for one in found}


def _standing(client: Any, name: str, group: Any, quota: Quota) -> Finding:
    what = f"group {name}"
    if group is None:
        return Finding(name=what, found="is missing: nothing can run there", fix=AGAIN, level="bad")
    counts = f"{len(group['Instances'])} of at most {group['MaxSize']} instances"
    failure = _last_failure(client, name)
    if failure:
        return Finding(name=what, found=f"{counts}; the last start failed: {failure}", level="bad",
                       fix=_fix(failure, quota))
    if group["DesiredCapacity"] and not group["Instances"]:
        return Finding(name=what, found=f"{counts}, and {group['DesiredCapacity']} wanted: none has started yet",
                       fix="look again in some minutes", level="note")
    return Finding(name=what, found=counts if group["MaxSize"] else f"{counts}: what is of its class waits")


def _last_failure(client: Any, name: str) -> str:
    """Why the newest start that has ended failed; empty where it did not. The newest activities come first."""
    with plain_errors(f"Auto Scaling group {name}"):
        told = client.describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=20)["Activities"]
    starts = [one for one in told if one["StatusCode"] in ENDED and str(one["Description"]).startswith("Launching")]
    if not starts or starts[0]["StatusCode"] != "Failed":
        return ""
    return " ".join(str(starts[0].get("StatusMessage", "no reason was given")).split())


def _fix(failure: str, quota: Quota) -> str:
    if "MaxSpotInstanceCountExceeded" in failure or "VcpuLimitExceeded" in failure or "quota" in failure.lower():
        return _raise(quota, quota.each)
    if "InsufficientInstanceCapacity" in failure or "UnfulfillableCapacity" in failure or "no Spot capacity" in failure:
        return NO_ROOM
    return f"mend what it says, then {AGAIN}"


def _allowed(client: Any, role: str, quota: Quota, most: int) -> Finding:
    what, wanted = f"quota of {role}", quota.each * most
    try:
        value = _value(client, quota)
    except AetherError as error:
        return failed(what, error, "note")
    if value < quota.each:
        return Finding(name=what, found=f"{value:g} vCPUs, and one instance needs {quota.each}: none can start",
                       fix=_raise(quota, wanted), level="bad")
    if value < wanted:
        return Finding(name=what, found=f"{value:g} vCPUs, enough for {int(value // quota.each)} of {most} instances",
                       fix=_raise(quota, wanted), level="note")
    return Finding(name=what, found=f"{value:g} vCPUs, enough for all {most} instances")


def _value(client: Any, quota: Quota) -> float:
    asked = {"ServiceCode": "ec2", "QuotaCode": quota.code}
    with plain_errors(f"EC2 quota {quota.code}"):
        try:
            return float(client.get_service_quota(**asked)["Quota"]["Value"])
        except ClientError as error:
            if code_of(error) != NOTHING_APPLIED:
                raise
        return float(client.get_aws_default_service_quota(**asked)["Quota"]["Value"])


def _raise(quota: Quota, wanted: int) -> str:
    return (f"ask for more of «{quota.called}»: `aws service-quotas request-service-quota-increase --service-code ec2 "
            f"--quota-code {quota.code} --desired-value {wanted}`, which may take a day")
