"""What AWS says of an instance: a warning is noted, one that is gone has its work offered to others at once."""

from __future__ import annotations

from typing import Any

import pytest

from agents.fleet import Told, hand_back, heed, read
from lab.control import Beat
from lab.errors import Stale
from lab.experiment import Machine, Terms
from support.reported import ReportedLab

HERE, ELSEWHERE = "i-0abc", "i-0def"


def event(kind: str, **detail: str) -> dict[str, Any]:
    return {"version": "0", "detail-type": kind, "source": "aws.ec2", "detail": detail}


class Noting:
    """A group that only notes what it is told."""

    def __init__(self) -> None:
        self.gone: list[tuple[str, str]] = []

    def owns(self, group: str) -> bool:
        return group == "tlab-cpu"

    def let_go(self, group: str, instance: str) -> None:
        self.gone.append((group, instance))


def running(lab: ReportedLab, instance: str | None, used_s: float = 0.0) -> tuple[str, int]:
    """An experiment that runs on that instance, which said how much it has used."""
    machine = Machine(id=instance, type="c7i.xlarge", zone="us-east-1a", spot=True) if instance else None
    id = lab.lab.ready(lab.proposal())
    fence = lab.ledger.claim(id, worker=f"{instance}-12", device_class="cpu2", machine=machine, op_id=lab.lab.op())
    if used_s:
        lab.ledger.beat(id, Beat(fence=fence, n=1, used_s=used_s))
    return id, fence


@pytest.mark.parametrize(("given", "told"), [
    (event("EC2 Spot Instance Interruption Warning", **{"instance-id": HERE, "instance-action": "terminate"}),
     Told(kind="warned", instance=HERE)),
    (event("EC2 Instance Rebalance Recommendation", **{"instance-id": HERE}), Told(kind="warned", instance=HERE)),
    (event("EC2 Instance-terminate Lifecycle Action", EC2InstanceId=HERE, AutoScalingGroupName="tlab-cpu",
           LifecycleHookName="leave"), Told(kind="leaving", instance=HERE, group="tlab-cpu")),
    (event("EC2 Instance State-change Notification", **{"instance-id": HERE, "state": "terminated"}),
     Told(kind="gone", instance=HERE)),
    (event("EC2 Instance State-change Notification", **{"instance-id": HERE, "state": "shutting-down"}),
     Told(kind="ending", instance=HERE)),
    (event("EC2 Instance State-change Notification", **{"instance-id": HERE, "state": "stopping"}), None),
    (event("EC2 Spot Instance Interruption Warning"), None),
    ({}, None),
])
def test_events_are_read(given: dict[str, Any], told: Told | None) -> None:
    assert read(given) == told


def test_what_ran_on_an_instance_that_is_gone_is_offered_to_others_and_nobody_is_blamed(lab: ReportedLab) -> None:
    id, fence = running(lab, HERE, used_s=100.0)
    others = [running(lab, ELSEWHERE)[0], running(lab, None)[0]]
    assert [hand_back(lab.backend, HERE), hand_back(lab.backend, HERE)] == [[id], []]
    back = lab.ledger.experiment(id)
    assert (back.state, back.silences, back.attempts[-1].ending) == ("queued", 0, "interrupted")
    assert back.attempts[-1].used_s == 100.0 + 60.0 + 15.0
    assert [lab.ledger.experiment(one).state for one in others] == ["running", "running"]
    message = lab.backend.queues["cpu"].receive(60.0)
    assert message is not None
    assert message.body == id
    with pytest.raises(Stale):
        lab.lab.finish(id, fence)


def test_a_warning_takes_nothing_from_a_worker_that_hears_it_itself(lab: ReportedLab) -> None:
    id, _ = running(lab, HERE)
    groups = Noting()
    heed(lab.backend, groups, Told(kind="warned", instance=HERE), pytest.fail)
    assert (lab.ledger.experiment(id).state, groups.gone) == ("running", [])


def test_one_that_is_being_ended_has_its_work_offered_before_silence_counts_and_only_once(lab: ReportedLab) -> None:
    """EC2 says `terminated` so late that the lease would have ended as lost by then; the word comes all the same."""
    id, fence = running(lab, HERE)
    looks = list[float]()
    heed(lab.backend, Noting(), Told(kind="ending", instance=HERE), looks.append)
    assert 0 < sum(looks) <= Terms().lease_s / 2
    lab.lab.settle(f"{id}.{fence}")
    lab.lab.reserve(id)
    taken = lab.lab.claim(id, f"{ELSEWHERE}-1")
    for kind in ("ending", "gone"):
        heed(lab.backend, Noting(), Told(kind=kind, instance=HERE), pytest.fail)
    with pytest.raises(Stale):
        lab.lab.release(id, fence, "interrupted")
    back = lab.ledger.experiment(id)
    assert [one.ending for one in back.attempts] == ["interrupted", None]
    assert (back.state, back.fence, back.silences) == ("running", taken, 0)


def test_a_worker_hands_back_by_itself_while_its_instance_is_being_ended(lab: ReportedLab) -> None:
    id, fence = running(lab, HERE)
    heed(lab.backend, Noting(), Told(kind="ending", instance=HERE),
         lambda _: lab.lab.release(id, fence, "interrupted"))
    [attempt] = lab.ledger.experiment(id).attempts
    assert "is gone" not in attempt.detail


def test_a_leaving_instance_is_let_go_once_its_worker_has_handed_back(lab: ReportedLab) -> None:
    id, fence = running(lab, HERE)
    groups, looks = Noting(), list[float]()

    def pause(seconds: float) -> None:
        assert groups.gone == []
        looks.append(seconds)
        if len(looks) == 3:
            lab.lab.release(id, fence, "interrupted")
    heed(lab.backend, groups, Told(kind="leaving", instance=HERE, group="tlab-cpu"), pause)
    assert (groups.gone, len(looks)) == ([("tlab-cpu", HERE)], 3)


def test_one_that_never_hands_back_is_left_to_its_group_and_others_groups_are_nobodys(lab: ReportedLab) -> None:
    running(lab, HERE)
    groups, looks = Noting(), list[float]()
    heed(lab.backend, groups, Told(kind="leaving", instance=HERE, group="tlab-cpu"), looks.append)
    assert (groups.gone, sum(looks)) == ([], 100.0)
    heed(lab.backend, groups, Told(kind="leaving", instance=ELSEWHERE, group="another-cpu"), pytest.fail)
    assert groups.gone == []
