"""moto's server on the loopback interface, for what Auto Scaling and EC2 do: instances that a group starts and that EC2
knows, protection, termination, spot prices. Everything else of an account is ministack's (`support/emulator.py`).

Measured on moto 5.2.5 and mended here, since each would mislead a test: it takes a desired capacity beyond the group's
bounds, and ends an instance with its place where the group has no place to lose, both of which AWS refuses; and it
starts an instance for each that EC2 ends, whatever the group wants. Not there at all: CompleteLifecycleAction, for
which a stub stands in, and spot notices. Any key will do.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from lab.aws.fleets import TAG
from lab.experiment import JOB_CLASSES
from support.account import EMULATED, prove_harmless
from support.servers import Endpoint, free_port, running


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder, port = tmp_path_factory.mktemp("moto"), free_port()
    endpoint = Endpoint(f"http://127.0.0.1:{port}")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[1]),
                   "MOTO_ACCOUNT_ID": EMULATED, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
                   "PYTHONDONTWRITEBYTECODE": "1"}
    with running([sys.executable, "-m", "support.moto", str(port)], environment, folder,
                 lambda: _answers(endpoint.url)):
        prove_harmless(endpoint)
        yield endpoint


@pytest.fixture
def machines(moto_server: Endpoint) -> Machines:
    """An account in which no group and no instance is left of a test before."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_server.url}/moto-api/reset", method="POST"), timeout=30)
    return Machines(moto_server)


@dataclass(frozen=True)
class Machines:
    """Groups of instances, made as the deploy makes them."""

    endpoint: Endpoint

    def client(self, service: Any) -> Any:
        return boto3.client(service, **self.endpoint.settings)  # type: ignore[call-overload]

    def group(self, name: str, maximum: int, running: int, types: tuple[str, ...] = ("c7i.xlarge", "m7i.xlarge"),
              ) -> list[str]:
        """A group with so many instances, each protected from scale-in; gives their ids."""
        self.client("ec2").create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": types[0]})
        self.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=0, MaxSize=maximum, DesiredCapacity=running,
            AvailabilityZones=["us-east-1a"], NewInstancesProtectedFromScaleIn=True,
            Tags=[{"Key": TAG, "Value": name.rpartition("-")[0], "PropagateAtLaunch": True}]
            if name.endswith(JOB_CLASSES) else [],
            MixedInstancesPolicy={"LaunchTemplate": {
                "LaunchTemplateSpecification": {"LaunchTemplateName": name, "Version": "$Latest"},
                "Overrides": [{"InstanceType": one} for one in types]}})
        return self.members(name)

    def members(self, name: str) -> list[str]:
        (group,) = self.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return [one["InstanceId"] for one in group["Instances"]]

    def running(self) -> list[str]:
        """All instances of the account that cost money."""
        pages = self.client("ec2").get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}])
        return [one["InstanceId"] for page in pages for found in page["Reservations"] for one in found["Instances"]]


def _answers(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/moto-api/", timeout=2) as answer:
        return bool(answer.status == 200)


def serve(port: int) -> None:
    from moto.autoscaling import models
    from moto.autoscaling.exceptions import ValidationError
    from moto.server import main

    group, set_capacity = models.FakeAutoScalingGroup, models.AutoScalingBackend.set_desired_capacity

    def within(self: Any, name: str, wanted: int | None) -> None:
        bounds = self.autoscaling_groups[name]
        if wanted is not None and not bounds.min_size <= wanted <= bounds.max_size:
            raise ValidationError(f"New SetDesiredCapacity value {wanted} is not between {bounds.min_size} and "
                                  f"{bounds.max_size}")
        set_capacity(self, name, wanted)

    terminate = models.AutoScalingBackend.terminate_instance

    def with_a_place(self: Any, instance_id: str, should_decrement: bool) -> Any:
        (found,) = [one for one in self.autoscaling_groups.values()
                    if instance_id in [state.instance.id for state in one.instance_states]]
        if should_decrement and found.desired_capacity <= found.min_size:
            raise ValidationError(f"Currently, desiredSize equals minSize ({found.min_size}). Terminating instance "
                                  "without replacement will violate group's min size constraint. Either set "
                                  "shouldDecrementDesiredCapacity flag to false or lower group's min size.")
        return terminate(self, instance_id, should_decrement)

    replace = group.replace_autoscaling_group_instances

    def wanted_only(self: Any, count: int, tags: Any) -> None:
        missing = (self.desired_capacity or 0) - len(self.active_instances())
        if missing > 0:
            replace(self, min(count, missing), tags)

    models.AutoScalingBackend.set_desired_capacity = within
    models.AutoScalingBackend.terminate_instance = with_a_place
    group.replace_autoscaling_group_instances = wanted_only
    main(["-H", "127.0.0.1", "-p", str(port)])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
