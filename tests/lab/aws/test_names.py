"""The names that deploy and backend share: as every service takes them, and the same for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab.aws.names import Names
from lab.errors import UserError


def test_names_follow_from_prefix_account_and_region() -> None:
    """Written out, since data that a deploy leaves behind is found again by these alone."""
    names = Names("lab", "123456789012", "eu-central-1")
    assert names.table == "lab-ledger"
    assert names.bucket == "lab-store-123456789012-eu-central-1"
    assert names.site == "lab-site-123456789012-eu-central-1"
    assert names.queues == ("lab-cpu", "lab-cpu-dead", "lab-gpu", "lab-gpu-dead")
    assert names.topic_arn == "arn:aws:sns:eu-central-1:123456789012:lab-reports"


@pytest.mark.parametrize(("region", "partition"), [("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn")])
def test_other_partitions_have_arns_of_their_own(region: str, partition: str) -> None:
    assert Names("lab", "123456789012", region).topic_arn.startswith(f"arn:{partition}:sns:{region}:")


def test_the_longest_prefix_and_region_still_make_a_bucket_name() -> None:
    assert len(Names("a" * 20, "1" * 12, "ap-southeast-12").bucket) <= 63


@pytest.mark.parametrize("prefix", ["l", "Lab", "1ab", "lab_1", "a" * 21, "lab/x", "läb", "lab\n", ""])
def test_a_prefix_that_some_service_would_not_take_is_refused(prefix: str) -> None:
    with pytest.raises(UserError, match="2 to 20 lower-case letters"):
        Names(prefix, "123456789012", "us-east-1")


def test_the_names_need_nothing_of_the_cloud() -> None:
    """The CDK app reads them in an environment of its own."""
    code = "import sys, lab.aws.names; sys.exit(any(name.startswith('boto') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True)
