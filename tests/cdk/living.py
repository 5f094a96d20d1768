"""A laboratory lives on what was deployed: its daemon and its workers are processes with the credentials of the
deployed roles, one worker is killed and one is told to go, both in mid-training, and nothing is lost. Part of
rehearsal.py.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import boto3
from msgspec.structs import replace
from safetensors.numpy import load

from cli import candidate
from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.phases import CHECKPOINT, MODEL
from gpu_workers.codec.spec import TRACK
from lab.aws.names import Names
from lab.backend import Backend, open_backend
from lab.control import Idea
from lab.experiment import JOB_CLASSES
from lab.settings import parse
from orchestrator.planner import clip_sets, wished
from support.account import EMULATED, Tap
from support.cloud import REGION
from support.commands import command, started
from support.footage import cut
from support.laboratory import experiment
from support.metadata import FakeMetadata, metadata
from support.training import learner

NAMES = Names("rehearse", EMULATED, REGION)
BACKEND = ("--backend", f"aws:{NAMES.prefix}")
WAIT_S = 240.0  # bounds every wait; nothing is asserted about time
STEPS = 3000  # of each training, a hundredth of a second each: both go on for long after both have begun
POISON = "e00001"
LOOP, WEIGHTS = "    for step in range(int", "weights = {"  # of the small training, which is to tell where it began
SETTINGS = f"""[limits]
experiments = 3
stop_at_goal = false
lease_s = 20.0
beat_s = 1.0
grace_s = 8.0
checkpoint_s = 0.2

[training]
steps = {STEPS}

[designers]
families = ["classic"]

[prices]
gpu_usd_h = 1.0
"""


def credentials_of(role: str) -> dict[str, str]:
    """Credentials of a deployed role, as a process has them in its environment."""
    given = boto3.client("sts").assume_role(RoleArn=f"arn:aws:iam::{EMULATED}:role/{NAMES.prefix}-{role}-{REGION}",
                                            RoleSessionName="rehearsal")["Credentials"]
    return {"AWS_ACCESS_KEY_ID": given["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given["SessionToken"]}


def lives(folder: Path) -> None:
    """Raises AssertionError where anything of it is not as it should be."""
    tap = _tap()
    lab = _offered(folder)
    with ExitStack() as stack:
        daemon = stack.enter_context(_process(folder, "daemon", "orchestrator", "orchestrate", "--seed", "1"))
        first = [stack.enter_context(_machine(folder, f"i-0000000000000000{n}")) for n in (1, 2)]
        told, killed = _disturbed(lab, first)
        others = [stack.enter_context(_machine(folder, f"i-0000000000000000{n}")) for n in (3, 4)]
        _poisoned(lab)
        assert daemon.wait(WAIT_S) == 0
        for worker, _ in others:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(WAIT_S) == 0
    _ended_once(lab, told, killed)
    _reported(tap, lab)
    _guarded(folder)
    boto3.client("sqs").delete_queue(QueueUrl=tap.url)


def _offered(folder: Path) -> Backend:
    """What a person does from a laptop: settings, footage, money, a codec of their own."""
    (folder / "aether.toml").write_text(SETTINGS)
    small = "scale=96:54"
    clips = {"train": cut("drive_1080p30", 6, folder, small), "score": cut("flower_720p30", 4, folder, small)}
    for words in (("settings", "push"), ("budget", "set", "50"),
                  *(("clips", "add", str(path), "--role", role) for role, path in clips.items())):
        said = command(folder, *words, *BACKEND)
        assert said.returncode == 0, said.stderr
    lab = open_backend(BACKEND[1])
    office, settings = lab.ledger.office, parse(SETTINGS)
    hard = wished(TRACK, settings, clip_sets(lab.store).explore, Idea(
        key="", family="classic", params=as_people_run("x265", x265_crf=30.0)))
    epoch = office.take_lease("rehearsal", host="here", pid=1, observed=None, op_id="lease")
    lab.ledger.propose(experiment(POISON, replace(hard, job_class="gpu")), epoch=epoch, op_id="poison")
    office.leave_lease(epoch, op_id="leave")
    mine = folder / "mine"
    mine.mkdir()
    for name, text in learner().items():
        tells = text.replace(LOOP, f"    begun = state['step'].copy()\n{LOOP}")
        (mine / name).write_text(tells.replace(WEIGHTS, f"{WEIGHTS}'begun': begun, "))
    for take in (1, 2):  # two trainings, the first that work is found for
        candidate.offer(lab, TRACK, settings, candidate.read(mine, TRACK, {"take": take}))
    return lab


@contextmanager
def _process(folder: Path, name: str, role: str, *words: str, **environment: str) -> Iterator[Popen[str]]:
    own = credentials_of(role) | {"XDG_CACHE_HOME": str(folder / name)} | environment
    with started(folder, *words, *BACKEND, **own) as process:
        yield process


@contextmanager
def _machine(folder: Path, id: str) -> Iterator[tuple[Popen[str], FakeMetadata]]:
    """A worker on a spot instance of the fleet `cpu`."""
    with metadata(id) as told, _process(folder, id, "cpu", "work", AETHER_IMDS=told.address) as worker:
        told.told["instance-type"] = "c6i.xlarge"
        yield worker, told


def _disturbed(lab: Backend, machines: list[tuple[Popen[str], FakeMetadata]]) -> tuple[str, str]:
    """Each machine trains. One is told to go, the other one dies; gives the ids of what they ran."""
    by_id = {told.told["instance-id"]: (worker, told) for worker, told in machines}

    def trainings() -> dict[str, str] | None:
        found = {one.attempts[-1].machine.id: one.id for one in lab.ledger.experiments(state="running")
                 if "train" in one.checkpoints and CHECKPOINT in one.checkpoints["train"].outputs
                 and one.attempts[-1].machine is not None}
        return found if found.keys() == by_id.keys() else None
    (killed, lost), (told, left) = until(trainings, "a checkpoint of a training on each machine").items()
    by_id[killed][0].kill()  # before the other's work is there to be taken up
    worker, notices = by_id[told]
    notices.interrupt()
    assert worker.wait(WAIT_S) == 0
    return left, lost


def _poisoned(lab: Backend) -> None:
    """No machine of the other class is there; whoever receives its message goes down before the claim."""
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=NAMES.queue("gpu"))["QueueUrl"]

    def buried() -> bool:
        sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, MaxNumberOfMessages=10)
        return lab.ledger.experiment(POISON).state == "finished"
    until(buried, "the end of the poison")
    outcome = lab.ledger.experiment(POISON).outcome
    assert outcome is not None
    assert (outcome.verdict, outcome.reason) == ("failed", "poison")
    dead = sqs.get_queue_url(QueueName=NAMES.dead_queue("gpu"))["QueueUrl"]
    until(lambda: sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["All"])["Attributes"][
        "ApproximateNumberOfMessages"] == "0", "the dead letters to be taken")


def _ended_once(lab: Backend, told: str, killed: str) -> None:
    everything = list(lab.ledger.all_experiments())
    assert {one.state for one in everything} == {"finished"}
    ends, since = Counter[str](), 0
    while page := lab.ledger.changes(since):
        ends.update(change.subject for change in page if change.action in ("finish", "bury"))
        since = page[-1].n
    assert ends == {one.id: 1 for one in everything}
    for id, ending in ((told, "interrupted"), (killed, "lost")):
        trained = lab.ledger.experiment(id)
        assert [one.ending for one in trained.attempts] == [ending, "finished"], trained
        [begun] = load(lab.store.read(trained.checkpoints["train"].outputs[MODEL]))["begun"]
        assert 0 < begun < STEPS, "it did not go on from its checkpoint"
    assert all(one.outcome and one.outcome.verdict in ("success", "partial") for one in everything if one.id != POISON)


def _reported(tap: Tap, lab: Backend) -> None:
    """By the daemon at its end, and by the function, which shows it on the web too."""
    published = tap.drain()
    [last] = [one for one in lab.ledger.office.reports() if one.key.startswith("end-")]
    assert last.text in [text for _, text in published]
    assert called("report", {"why": "rehearsal"})
    shown = boto3.client("s3").get_object(Bucket=NAMES.site, Key="index.html")["Body"].read()
    assert shown.startswith(b"<!doctype html>")


def _guarded(folder: Path) -> None:
    """The money is gone: no machine is left, allowed or wanted. It comes again: so do the places, and no more."""
    groups = boto3.client("autoscaling")
    names = [NAMES.group(one) for one in JOB_CLASSES]

    def sizes() -> list[tuple[int, int, int]]:
        found = groups.describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
        return [(one["MaxSize"], one["DesiredCapacity"], len(one["Instances"])) for one in found]
    allowed = [maximum for maximum, _, _ in sizes()]
    groups.set_desired_capacity(AutoScalingGroupName=names[0], DesiredCapacity=1)
    until(lambda: sizes()[0][2] == 1, "a machine")
    groups.update_auto_scaling_group(AutoScalingGroupName=names[0], DesiredCapacity=0)
    assert sizes()[0][2] == 1, "it is protected"
    for cap, wanted in (("0.0001", [0, 0]), ("50", allowed)):
        assert command(folder, "budget", "set", cap, *BACKEND).returncode == 0
        called("guard", {"why": "rehearsal"})
        assert sizes() == [(maximum, 0, 0) for maximum in wanted]


def called(duty: str, event: dict[str, Any]) -> Any:
    """What a deployed function answers."""
    answer = boto3.client("lambda").invoke(FunctionName=f"{NAMES.prefix}-{duty}", Payload=json.dumps(event))
    told = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, told
    return told


def _tap() -> Tap:
    """A queue that is subscribed to the topic, and that the topic may send to."""
    sqs, arn = boto3.client("sqs"), f"arn:aws:sqs:{REGION}:{EMULATED}:{NAMES.prefix}-tap"
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": NAMES.topic_arn}}}]}
    url = sqs.create_queue(QueueName=f"{NAMES.prefix}-tap", Attributes={"Policy": json.dumps(policy)})["QueueUrl"]
    boto3.client("sns").subscribe(TopicArn=NAMES.topic_arn, Protocol="sqs", Endpoint=arn)
    return Tap(sqs, url)


def until(reached: Callable[[], Any], what: str) -> Any:
    """What `reached` gives, once it is something."""
    end = time.monotonic() + WAIT_S
    while not (found := reached()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.2)
    return found
