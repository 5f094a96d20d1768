"""The instances of a lab that run now, with the size of their disks: by the tag that every part of it carries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from lab.aws.errors import plain_errors
from lab.experiment import Machine

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

TAG = "aether:lab"
GROUP = "aws:autoscaling:groupName"
AT_ONCE = 200  # values of a filter


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    machine: Machine
    group: str  # that started it; empty for one that was taken out of its group
    disk_gib: int


def instances_of(client: EC2Client, prefix: str) -> list[Instance]:
    """Those that are billed. Raises Unavailable."""
    with plain_errors("EC2 instances"):
        pages = client.get_paginator("describe_instances").paginate(Filters=[
            {"Name": f"tag:{TAG}", "Values": [prefix]}, {"Name": "instance-state-name", "Values": ["running"]}])
        found = [one for page in pages for several in page["Reservations"] for one in several["Instances"]]
        disks = _disks_gib(client, [one["InstanceId"] for one in found])
    return [Instance(machine=_machine(one), group=_tags(one).get(GROUP, ""), disk_gib=disks.get(one["InstanceId"], 0))
            for one in found]


def _machine(told: Any) -> Machine:
    return Machine(id=told["InstanceId"], type=told["InstanceType"], zone=told["Placement"]["AvailabilityZone"],
                   spot=told.get("InstanceLifecycle") == "spot")


def _tags(told: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in told.get("Tags", [])}


def _disks_gib(client: EC2Client, ids: Sequence[str]) -> dict[str, int]:
    """Instance → what its volumes hold together."""
    found: dict[str, int] = {}
    for some in _parts(ids):
        pages = client.get_paginator("describe_volumes").paginate(
            Filters=[{"Name": "attachment.instance-id", "Values": some}])
        for volume in (one for page in pages for one in page["Volumes"]):
            id = volume["Attachments"][0]["InstanceId"]
            found[id] = found.get(id, 0) + volume["Size"]
    return found


def _parts(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), AT_ONCE):
        yield list(ids[start:start + AT_ONCE])
