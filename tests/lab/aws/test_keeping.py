"""Which instances a person may keep for a look, and what that costs at most."""

from __future__ import annotations

import pytest

from lab.aws.keeping import TAG, Keeper
from lab.aws.names import Names
from lab.aws.prices import prices_of
from lab.errors import NotFound
from lab.money import to_micro
from support.account import EMULATED
from support.moto import Machines

pytestmark = pytest.mark.ci
NOON = 1_795_996_800.0 + 12 * 3600  # 2026-11-30T12:00 UTC


@pytest.fixture
def keeper(machines: Machines) -> Keeper:
    return Keeper(machines.client("ec2"), Names("tlab", EMULATED, "us-east-1"), prices_of("us-east-1"))


def tagged(machines: Machines, *ids: str, lab: str = "tlab") -> None:
    """As the deploy has a group do it."""
    machines.client("ec2").create_tags(Resources=list(ids), Tags=[{"Key": "aether:lab", "Value": lab}])


def test_a_worker_s_instance_is_kept_by_a_tag_at_the_on_demand_price(keeper: Keeper, machines: Machines) -> None:
    (id,) = machines.group("tlab-gpu", 2, 1, ("g5.xlarge",))
    tagged(machines, id)
    found = keeper.find(id)
    assert found.type == "g5.xlarge"
    assert found.cost(30) == to_micro((prices_of("us-east-1").on_demand("g5.xlarge") + 0.005) / 2)
    keeper.keep(id, 30, NOON)
    told = machines.client("ec2").describe_tags(Filters=[{"Name": "resource-id", "Values": [id]},
                                                         {"Name": "key", "Values": [TAG]}])["Tags"]
    assert [one["Value"] for one in told] == ["30 minutes, asked 2026-11-30T12:00:00.000+00:00"]


def test_what_is_no_worker_of_this_lab_is_not_kept_and_those_that_are_get_named(
        keeper: Keeper, machines: Machines) -> None:
    (own,) = machines.group("tlab-cpu", 2, 1)
    (orchestrator,), (another,) = machines.group("tlab-orchestrator", 1, 1), machines.group("another-cpu", 1, 1)
    tagged(machines, own, orchestrator)
    tagged(machines, another, lab="another")
    for other in (orchestrator, another, "i-0abc"):
        with pytest.raises(NotFound, match=f"no worker of this lab runs on '{other}'; running: {own}"):
            keeper.find(other)
