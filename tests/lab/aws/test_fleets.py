"""Closing the fleets takes away what Auto Scaling by itself would keep, and nothing starts them again."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from lab.aws.fleets import Fleets
from lab.aws.names import Names
from lab.errors import Unavailable
from support.account import EMULATED
from support.moto import Machines

LAB = Names("tlab", EMULATED, "us-east-1")
MAXIMA = {"cpu": 4, "gpu": 2}


def fleets(machines: Machines) -> Fleets:
    return Fleets(machines.client("autoscaling"), machines.client("ec2"), LAB)


def closed(found: Fleets) -> None:
    for _ in range(10):
        if found.close() == 0:
            return
    raise AssertionError("instances are left after ten turns")


def bounds(machines: Machines, group: str) -> tuple[int, int]:
    (told,) = machines.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[group])["AutoScalingGroups"]
    return told["MaxSize"], told["DesiredCapacity"]


@pytest.mark.ci
def test_a_fleet_whose_instances_are_all_protected_comes_to_nothing_and_stays_there(machines: Machines) -> None:
    machines.group("tlab-cpu", 4, 3)
    machines.group("tlab-gpu", 2, 1)
    others = machines.group("tlab-orchestrator", 1, 1) + machines.group("another-cpu", 2, 2)
    asked = machines.client("autoscaling")
    asked.update_auto_scaling_group(AutoScalingGroupName="tlab-cpu", DesiredCapacity=0)
    assert len(machines.members("tlab-cpu")) == 3, "a smaller group alone takes no protected instance away"
    closed(fleets(machines))
    assert sorted(machines.running()) == sorted(others)
    asked.put_scaling_policy(AutoScalingGroupName="tlab-cpu", PolicyName="first", PolicyType="StepScaling",
                             AdjustmentType="ExactCapacity", ScalingAdjustment=1)
    with contextlib.suppress(ClientError):  # AWS keeps the group at its maximum and says nothing
        asked.execute_policy(AutoScalingGroupName="tlab-cpu", PolicyName="first")
    with pytest.raises(ClientError, match="ValidationError"):
        asked.set_desired_capacity(AutoScalingGroupName="tlab-gpu", DesiredCapacity=1)
    assert sorted(machines.running()) == sorted(others)
    assert (bounds(machines, "tlab-cpu"), bounds(machines, "tlab-gpu")) == ((0, 0), (0, 0))


@pytest.mark.ci
def test_an_instance_that_has_left_its_group_is_ended_too(machines: Machines) -> None:
    stray, kept = machines.group("tlab-gpu", 2, 2)
    machines.client("autoscaling").detach_instances(AutoScalingGroupName="tlab-gpu", InstanceIds=[stray],
                                                    ShouldDecrementDesiredCapacity=True)
    assert sorted(machines.running()) == sorted([stray, kept])
    closed(fleets(machines))
    assert machines.running() == []


@pytest.mark.ci
def test_what_was_closed_may_grow_again_and_what_a_person_set_stays(machines: Machines) -> None:
    machines.group("tlab-cpu", 4, 1)
    machines.group("tlab-gpu", 1, 0)
    found = fleets(machines)
    found.open(MAXIMA)
    assert (bounds(machines, "tlab-cpu"), bounds(machines, "tlab-gpu")) == ((4, 1), (1, 0))
    closed(found)
    found.open(MAXIMA)
    assert (bounds(machines, "tlab-cpu"), bounds(machines, "tlab-gpu")) == ((4, 0), (2, 0))
    closed(found)
    found.open({"cpu": 4, "gpu": 0})
    assert (bounds(machines, "tlab-cpu"), bounds(machines, "tlab-gpu")) == ((4, 0), (0, 0))


class Hooked:
    """Auto Scaling's answers to CompleteLifecycleAction, which no emulator has."""

    def __init__(self, machines: Machines) -> None:
        self.client: Any = machines.client("autoscaling")
        self.stub = Stubber(self.client)
        self.fleets = Fleets(self.client, machines.client("ec2"), LAB)

    def answers(self, code: str) -> None:
        asked = {"AutoScalingGroupName": "tlab-cpu", "LifecycleHookName": "leave", "LifecycleActionResult": "CONTINUE",
                 "InstanceId": "i-0abc"}
        if code:
            self.stub.add_client_error("complete_lifecycle_action", code, expected_params=asked)
        else:
            self.stub.add_response("complete_lifecycle_action", {}, asked)
        self.stub.activate()


@pytest.mark.ci
@pytest.mark.parametrize("code", ["", "ValidationError"])
def test_the_group_is_told_once_that_it_need_not_wait(machines: Machines, code: str) -> None:
    hooked = Hooked(machines)
    hooked.answers(code)
    hooked.fleets.let_go("tlab-cpu", "i-0abc")
    hooked.stub.assert_no_pending_responses()


@pytest.mark.ci
def test_a_role_that_may_not_say_so_is_told_the_fix(machines: Machines) -> None:
    hooked = Hooked(machines)
    hooked.answers("AccessDenied")
    with pytest.raises(Unavailable, match="AccessDenied"):
        hooked.fleets.let_go("tlab-cpu", "i-0abc")
