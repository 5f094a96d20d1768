"""How a worker's instance leaves: at once where it found no work, after a look where it failed, and later still where a
person keeps it. Groups are moto's; systemd is a note of what it was asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cdk.boot import instance
from support.metadata import FakeMetadata, metadata
from support.moto import Machines

GROUP = "tlab-cpu"
KEEP = f"tags/instance/{instance.KEEP}"
pytestmark = pytest.mark.ci


class Scene:
    """A machine of a group of one, whose time passes as it sleeps."""

    def __init__(self, machines: Machines, here: FakeMetadata, folder: Path) -> None:
        self.machines, self.here, self.folder, self.now = machines, here, folder, 0.0
        self.plans: list[tuple[float, Callable[[], None]]] = []

    def at(self, minute: float, happens: Callable[[], None]) -> None:
        self.plans.append((60 * minute, happens))

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for plan in [one for one in self.plans if one[0] <= self.now]:
            self.plans.remove(plan)
            plan[1]()

    def keep(self, words: str) -> Callable[[], None]:
        return lambda: self.here.told.update({KEEP: words})

    def stayed_minutes(self, stay_s: str) -> float:
        instance.leave(stay_s)
        return self.now / 60

    def asked_systemd(self) -> list[str]:
        return [line for line in (self.folder / "asked").read_text().splitlines() if "is-system-running" not in line]

    def group(self) -> Any:
        (found,) = self.machines.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[GROUP])["AutoScalingGroups"]
        return found


@pytest.fixture
def scene(machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    (member,) = machines.group(GROUP, 2, 1)
    for name in ("systemctl", "systemd-run"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/asked\n')
        (tmp_path / name).chmod(0o755)
    topic = machines.client("sns").create_topic(Name="tlab")["TopicArn"]
    for name, value in {"AETHER_ROLE": "cpu", "AETHER_LAB": "tlab", "AETHER_TOPIC": topic,
                        "AWS_ENDPOINT_URL": machines.endpoint.url, "AWS_DEFAULT_REGION": machines.endpoint.region,
                        "PATH": f"{tmp_path}:/usr/bin:/bin"}.items():
        monkeypatch.setenv(name, value)
    with metadata(member) as here:
        here.told |= {"iam/security-credentials/": "tlab-cpu", "iam/security-credentials/tlab-cpu": json.dumps(
            {"AccessKeyId": "test", "SecretAccessKey": "test", "Token": "test"})}
        monkeypatch.setattr(instance, "METADATA", f"{here.address}/latest/")
        found = Scene(machines, here, tmp_path)
        monkeypatch.setattr(instance, "time", SimpleNamespace(monotonic=lambda: found.now, sleep=found.sleep,
                                                              time=lambda: 0.0))
        for name in ("LOGS", "FAILURES"):
            monkeypatch.setattr(instance, name, tmp_path / name)
        (tmp_path / "LOGS").mkdir()
        yield found


def test_one_that_found_no_work_goes_at_once_and_its_place_with_it(
        scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_RESULT", "success")
    instance.ended()
    stopped, leaving = scene.asked_systemd()
    assert stopped == "systemctl stop --no-block aether-cpu"
    assert leaving.startswith("systemd-run --unit=aether-leave ")
    assert leaving.endswith(" leave 0")
    assert scene.stayed_minutes("0") == 0
    assert (scene.group()["DesiredCapacity"], scene.machines.running()) == (0, [])


@pytest.mark.parametrize("told", ["interrupt", "advise"])
def test_the_place_of_one_that_aws_takes_is_filled_again(told: str, scene: Scene) -> None:
    getattr(scene.here, told)()
    instance.leave("0")
    assert scene.group()["DesiredCapacity"] == 1
    assert scene.here.told["instance-id"] not in scene.machines.running()


def test_one_that_nobody_wants_any_more_goes_and_nothing_takes_its_place(scene: Scene) -> None:
    """As after the guard, or while a `cdk destroy` takes the group away."""
    scene.machines.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=GROUP, DesiredCapacity=0)
    assert scene.machines.running() == [scene.here.told["instance-id"]], "it is protected"
    instance.leave("0")
    assert (scene.group()["DesiredCapacity"], scene.machines.running()) == (0, [])


def test_one_that_its_group_ends_already_is_left_to_it(scene: Scene) -> None:
    scene.here.end()
    instance.leave("0")
    assert scene.machines.running() == [scene.here.told["instance-id"]]


def test_one_that_crashed_too_often_is_told_of_and_stays_for_a_look(
        scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_RESULT", "exit-code")
    monkeypatch.setattr(instance.tell_crash, "__defaults__", (scene.folder / "LOGS",))
    monkeypatch.setattr(instance.failed, "__defaults__", ("", scene.folder / "LOGS"))
    queue = scene.machines.client("sqs").create_queue(QueueName="mail")["QueueUrl"]
    scene.machines.client("sns").subscribe(TopicArn=os.environ["AETHER_TOPIC"], Protocol="sqs", Endpoint=(
        scene.machines.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        ["Attributes"]["QueueArn"]))
    (scene.folder / "LOGS" / "cpu.log").write_text("its ünwords & all\n")
    for _ in range(instance.TRIES - 1):
        instance.ended()
    assert not [line for line in scene.asked_systemd() if line.startswith("systemd-run")]
    instance.ended()
    [mail] = scene.machines.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    told = json.loads(mail["Body"])
    assert told["Subject"] == f"Aether: the worker cpu failed on {scene.here.told['instance-id']}"
    assert "its ünwords & all\n" in told["Message"] + "\n"
    assert scene.asked_systemd()[-1].endswith(" leave 600")
    assert scene.stayed_minutes("600") == pytest.approx(10, abs=0.1)
    assert scene.machines.running() == []


def test_one_that_a_person_keeps_stays_for_their_minutes_and_for_more_when_they_ask_again(scene: Scene) -> None:
    scene.at(4, scene.keep("30 minutes, asked at 12:00"))
    scene.at(20, scene.keep("30 minutes, asked at 12:16"))
    assert scene.stayed_minutes("600") == pytest.approx(50, abs=0.2)
    assert scene.machines.running() == []


def test_one_that_a_person_lets_go_of_goes_at_once(scene: Scene) -> None:
    scene.at(2, scene.keep("30 minutes, asked at 12:00"))
    scene.at(5, scene.keep("0 minutes, asked at 12:03"))
    assert scene.stayed_minutes("600") == pytest.approx(5, abs=0.2)


def test_words_that_say_nothing_keep_nobody(scene: Scene) -> None:
    scene.keep("as long as you like")()
    assert scene.stayed_minutes("60") == pytest.approx(1, abs=0.1)
