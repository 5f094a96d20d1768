"""The fleet agent: what AWS says of an instance, taken to the ledger.

A warning is only noted, since the worker hears it itself and hands its work back better than anybody. While a group
waits to end an instance, it is told to go on as soon as nothing runs there any more. An instance that is gone is a
fact: whatever ran on it goes back at once, and nobody is blamed, in place of a lease time of silence. EC2 needs up to
minutes until it says so, and silence is counted against the work, so one that it begins to end is taken for gone as
soon as its worker has had time to hand back by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec
import structlog

from lab.backend import Backend
from lab.errors import Refused
from lab.experiment import Experiment, Terms
from lab.ledger import Ledger

LOOK_S = 5.0  # between two looks at what a leaving instance still runs
WITHIN_S = 100.0  # of the two minutes for which its group waits
OWN_S = 30.0  # for a worker that hands back by itself, newest checkpoint and all; half a lease

log = structlog.get_logger("fleet")

Kind = Literal["warned", "leaving", "ending", "gone"]
ENDS: dict[str, Kind] = {"shutting-down": "ending", "terminated": "gone"}  # by the state that EC2 tells


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """`warned`: it may go soon. `leaving`: its `group` waits to end it. `ending`: it is being ended. `gone`: it was."""

    kind: Kind
    instance: str
    group: str = ""


class Groups(Protocol):
    def owns(self, group: str) -> bool: ...

    def let_go(self, group: str, instance: str) -> None: ...


def read(event: Mapping[str, Any]) -> Told | None:
    """An event of EventBridge; None where it is none of those that tell something."""
    detail = event.get("detail") or {}
    match event.get("detail-type"):
        case "EC2 Spot Instance Interruption Warning" | "EC2 Instance Rebalance Recommendation":
            return _told("warned", detail.get("instance-id"))
        case "EC2 Instance-terminate Lifecycle Action":
            return _told("leaving", detail.get("EC2InstanceId"), detail.get("AutoScalingGroupName", ""))
        case "EC2 Instance State-change Notification" if kind := ENDS.get(detail.get("state", "")):
            return _told(kind, detail.get("instance-id"))
    return None


def heed(backend: Backend, groups: Groups, told: Told, pause: Callable[[float], None]) -> None:
    """Raises Unavailable where ledger or account cannot be reached: then the event is to come again."""
    if told.kind == "gone":
        hand_back(backend, told.instance)
        return
    running = [experiment.id for experiment in running_on(backend.ledger, told.instance)]
    log.info("an instance may go", kind=told.kind, instance=told.instance, experiments=running)
    if told.kind == "ending":
        _left(backend.ledger, told.instance, OWN_S, pause)
        hand_back(backend, told.instance)
    elif told.kind == "leaving" and groups.owns(told.group):
        if _left(backend.ledger, told.instance, WITHIN_S, pause):
            groups.let_go(told.group, told.instance)
        else:
            log.warning("an instance still runs something as it goes", instance=told.instance)


def hand_back(backend: Backend, instance: str) -> list[str]:
    """Offer to others what ran on an instance that is gone; gives their ids. Billed like what vanished: up to the last
    sign of life, and a lease that ran out."""
    given = []
    for experiment in running_on(backend.ledger, instance):
        id, fence, attempt = experiment.id, experiment.fence, experiment.attempts[-1]
        terms, beat = attempt.terms or Terms(), backend.ledger.beat_of(id, fence)
        used_s = (beat.used_s if beat else 0.0) + terms.lease_s + terms.grace_s
        try:
            backend.ledger.release(id, fence, "interrupted", used_s=used_s, detail=f"the instance {instance} is gone",
                                   op_id=f"{id}.{fence}.gone")
        except Refused:  # it had ended or handed its work back, a moment ago
            continue
        backend.queues[experiment.spec.job_class].send(id)
        log.info("given back", experiment=id, fence=fence, instance=instance)
        given.append(id)
    return given


def running_on(ledger: Ledger, instance: str) -> list[Experiment]:
    return [one for one in ledger.all_experiments("running")
            if (machine := one.attempts[-1].machine) is not None and machine.id == instance]


def _left(ledger: Ledger, instance: str, within_s: float, pause: Callable[[float], None]) -> bool:
    """Whether nothing runs there any more, looked at until so or for that long."""
    for _ in range(round(within_s / LOOK_S)):
        if not running_on(ledger, instance):
            return True
        pause(LOOK_S)
    return False


def _told(kind: Kind, instance: object, group: str = "") -> Told | None:
    return Told(kind=kind, instance=instance, group=group) if isinstance(instance, str) and instance else None
