"""What others say of the deploy without looking: the doctor its stacks, groups and quotas, the README its alarms."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.idle_cost import ALARMED_METRICS
from lab.aws.capacity import QUOTAS
from lab.aws.names import STACKS, Names

pytestmark = pytest.mark.ci
Templates = dict[str, Any]
PROCESSORS = {"micro": 2, "small": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16}
NAMES = Names("aether", "123456789012", "us-east-1")


def of_type(templates: Templates, kind: str) -> list[dict[str, Any]]:
    return [one["Properties"] for template in templates.values() for one in template["Resources"].values()
            if one["Type"] == kind]


def test_the_doctor_knows_every_stack(templates: Templates) -> None:
    assert set(STACKS) == set(templates), "lab/aws/names.py lists the stacks"


def test_the_doctor_knows_every_group_and_what_its_smallest_instance_takes(templates: Templates) -> None:
    smallest = {}
    for group in of_type(templates, "AWS::AutoScaling::AutoScalingGroup"):
        types = [one["InstanceType"] for one in group["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]]
        smallest[group["AutoScalingGroupName"]] = min(PROCESSORS[one.partition(".")[2]] for one in types)
    assert smallest == {NAMES.group(role): quota.each for role, quota in QUOTAS.items()}


def test_the_readmes_table_counts_enough_alarms(templates: Templates) -> None:
    """By the metrics that they look at. Target tracking makes two of its own."""
    counted = sum(sum("MetricStat" in one for one in alarm.get("Metrics", [])) or 1
                  for alarm in of_type(templates, "AWS::CloudWatch::Alarm"))
    for policy in of_type(templates, "AWS::AutoScaling::ScalingPolicy"):
        tracked = policy.get("TargetTrackingConfiguration", {}).get("CustomizedMetricSpecification", {})
        counted += 2 * sum("MetricStat" in one for one in tracked.get("Metrics", []))
    assert counted <= ALARMED_METRICS, "count them anew in benchmarks/idle_cost.py"
