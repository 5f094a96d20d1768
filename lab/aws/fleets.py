"""The fleets of a lab: closed when the money is gone, opened again, and told that an instance has nothing left to do.

AWS never takes a protected instance away because a group is to be smaller, and the alarm that starts the first one asks
again as long as work waits. So closing is three things: no instance is allowed, none is wanted, and each that runs is
ended by its id. One that its group ends has the time of the hook `leave` to hand its work back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from lab.aws import clients
from lab.aws.errors import code_of, plain_errors
from lab.aws.names import Names
from lab.experiment import JOB_CLASSES

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef
    from mypy_boto3_ec2 import EC2Client

HOOK = "leave"
TAG = "aether:fleet"  # of every instance that a fleet has started, also one that is in no group any more
AT_ONCE = 50  # ids in one request
# What Auto Scaling says of an instance that is gone or going, or of a group that is busy: the next look tells more.
PASSING = frozenset({"ValidationError", "ScalingActivityInProgress", "ResourceContention"})
GONE = frozenset({"ValidationError", "InvalidInstanceID.NotFound"})


class Fleets:
    """Raises Unavailable where AWS cannot be reached."""

    def __init__(self, autoscaling: AutoScalingClient, ec2: EC2Client, names: Names) -> None:
        self._autoscaling, self._ec2, self._names = autoscaling, ec2, names
        self._groups = {names.group(one): one for one in JOB_CLASSES}

    def close(self) -> int:
        """Allow and want no instance, and end each; how many there still are. To be called until there is none."""
        members = set[str]()
        for group in self._described():
            if group["MinSize"] or group["MaxSize"] or group["DesiredCapacity"]:
                self._resize(group["AutoScalingGroupName"], maximum=0)
            for one in group.get("Instances", ()):
                members.add(one["InstanceId"])
                if not one["LifecycleState"].startswith("Terminat"):
                    self._end(one["InstanceId"])
        strays = [id for id in self._instances() if id not in members]
        for first in range(0, len(strays), AT_ONCE):
            with plain_errors("EC2"):
                self._ec2.terminate_instances(InstanceIds=strays[first:first + AT_ONCE])
        return len(members) + len(strays)

    def open(self, maxima: Mapping[str, int]) -> None:
        """Allow again as many of each job class, where none is allowed."""
        for group in self._described():
            maximum = maxima.get(self._groups[group["AutoScalingGroupName"]], 0)
            if not group["MaxSize"] and maximum:
                self._resize(group["AutoScalingGroupName"], maximum)

    def owns(self, group: str) -> bool:
        return group in self._groups

    def let_go(self, group: str, instance: str) -> None:
        """The group need not wait any longer to end this instance."""
        with plain_errors(f"Auto Scaling group {group}"):
            try:
                self._autoscaling.complete_lifecycle_action(
                    AutoScalingGroupName=group, LifecycleHookName=HOOK, LifecycleActionResult="CONTINUE",
                    InstanceId=instance)
            except ClientError as error:  # it waits for nothing any more: the time was over, or this call was doubled
                if code_of(error) not in GONE:
                    raise

    def _described(self) -> Iterator[AutoScalingGroupTypeDef]:
        with plain_errors("Auto Scaling"):
            found = self._autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=list(self._groups))
        yield from found["AutoScalingGroups"]

    def _resize(self, group: str, maximum: int) -> None:
        with plain_errors(f"Auto Scaling group {group}"):
            if maximum:
                self._autoscaling.update_auto_scaling_group(AutoScalingGroupName=group, MaxSize=maximum)
            else:
                self._autoscaling.update_auto_scaling_group(AutoScalingGroupName=group, MinSize=0, MaxSize=0,
                                                            DesiredCapacity=0)

    def _end(self, instance: str) -> None:
        """By its group, so that the hook gives its worker time. It wants none by now, so none takes its place."""
        with plain_errors(f"instance {instance}"):
            try:
                self._autoscaling.terminate_instance_in_auto_scaling_group(
                    InstanceId=instance, ShouldDecrementDesiredCapacity=False)
            except ClientError as error:
                if code_of(error) not in PASSING:
                    raise

    def _instances(self) -> list[str]:
        """All that cost money, whatever their groups say."""
        pages = self._ec2.get_paginator("describe_instances").paginate(Filters=[
            {"Name": f"tag:{TAG}", "Values": [self._names.prefix]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]}])
        with plain_errors("EC2"):
            return [one["InstanceId"] for page in pages for found in page["Reservations"]
                    for one in found["Instances"]]


def fleets_of(names: Names) -> Fleets:
    there = {"region_name": names.region}
    return Fleets(clients.autoscaling(**there), clients.ec2(**there), names)
