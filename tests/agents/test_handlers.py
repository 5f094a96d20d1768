"""The agents as AWS calls them, each with the event that it really gets: ledger, queues, bucket and topic on ministack,
fleets on moto's server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from agents import handlers
from lab.aws.backend import assemble
from lab.aws.names import Names
from lab.backend import Backend
from lab.clock import month_key
from lab.control import Report
from lab.errors import Unavailable
from lab.experiment import Machine
from support.account import Account
from support.laboratory import USD, Laboratory, experiment
from support.moto import Machines

pytestmark = pytest.mark.ci


class Deployed:
    """A lab on the emulators: its parts, and a ledger with a daemon that holds the lease."""

    def __init__(self, account: Account, machines: Machines) -> None:
        self.account, self.machines = account, machines
        self.names: Names = account.deploy()
        account.client("s3").create_bucket(Bucket=self.names.site)
        self.backend: Backend = assemble(self.names)
        self.lab = Laboratory(self.backend.ledger.table)
        self.office = self.backend.ledger.office
        self.tap = account.tap(self.names)

    def spend(self, usd: float) -> None:
        """Of $100, this month."""
        month, amount = month_key(time.time()), round(usd * USD)
        self.lab.accounts.set_cap(month, 100 * USD, op_id=self.lab.op())
        self.lab.accounts.reserve_overhead("hour", amount, (month,), price_usd_h=1.0, epoch=self.lab.epoch,
                                           op_id=self.lab.op())
        self.lab.settle("hour", amount)


@pytest.fixture
def deployed(signed_in: Account, machines: Machines, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    for service in ("AUTO_SCALING", "EC2"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", machines.endpoint.url)
    found = Deployed(signed_in, machines)
    for name, value in (("AETHER_PREFIX", found.names.prefix), ("AETHER_CPU_MAX", "4"), ("AETHER_GPU_MAX", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(handlers.time, "sleep", lambda _: None)
    handlers._lab.cache_clear()
    handlers._fleets.cache_clear()
    yield found
    handlers._lab.cache_clear()
    handlers._fleets.cache_clear()


def dead(*bodies: str) -> dict[str, Any]:
    return {"Records": [{"messageId": f"m{n}", "body": body, "attributes": {"ApproximateReceiveCount": "20"}}
                        for n, body in enumerate(bodies)]}


def test_the_guard_closes_both_fleets_and_mails_it_once_and_a_person_opens_them_again(deployed: Deployed) -> None:
    for job_class in ("cpu", "gpu"):
        deployed.machines.group(deployed.names.group(job_class), 2, 2)
    deployed.spend(96.0)
    deployed.office.leave_lease(deployed.lab.epoch, op_id="left")
    told = [handlers.guard({"why": "schedule"}, None) for _ in range(2)]
    assert told[0] == {"budget": "critical", "closed": True, "delivered": ["guard-000001"]}
    assert told[1]["delivered"] == []
    assert deployed.machines.running() == []
    ((subject, text),) = deployed.tap.drain()
    assert subject == "lab: the budget is at 95 % [guard-000001]"
    assert "fleets are closed" in text
    deployed.office.set_control(override_until=2e10, op_id="aether budget override")
    assert not handlers.guard({"why": "schedule"}, None)["closed"]
    groups = deployed.machines.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert {one["AutoScalingGroupName"].rpartition("-")[2]: one["MaxSize"] for one in groups} == {"cpu": 4, "gpu": 2}


def test_the_guard_hears_the_bill(deployed: Deployed) -> None:
    text = (f"Budget Name: {deployed.names.prefix}-monthly-1a2b3c\nBudgeted Amount: $500.00\nAlert Type: ACTUAL\n"
            f"ACTUAL Amount: $480.12\n")
    assert handlers.guard({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": text}}]}, None)["closed"]
    assert "bill" in deployed.office.control().held


def test_the_reporter_tells_of_a_dead_daemon_by_mail_and_on_the_web(deployed: Deployed) -> None:
    deployed.backend.ledger.table.set("beat", f"daemon.{deployed.lab.epoch}", b'{"fence":1,"n":9,"at":1795435200.0}')
    made = handlers.report({"why": "schedule"}, None)
    assert made["made"] == made["page"] == made["delivered"][0]
    ((subject, _),) = deployed.tap.drain()
    assert subject.startswith("lab: NO DAEMON since 2026-11-23 12:00 UTC")
    page = deployed.account.client("s3").get_object(Bucket=deployed.names.site, Key="index.html")["Body"].read()
    assert b"<html" in page
    assert handlers.report({"why": "schedule"}, None) == {"made": "", "delivered": [], "page": made["page"]}


def test_the_page_is_published_also_where_the_mail_is_refused(deployed: Deployed) -> None:
    deployed.backend.ledger.table.set("beat", f"daemon.{deployed.lab.epoch}", b'{"fence":1,"n":9,"at":1795435200.0}')
    deployed.account.client("sns").delete_topic(TopicArn=deployed.names.topic_arn)
    with pytest.raises(Unavailable):
        handlers.report({"why": "schedule"}, None)
    page = deployed.account.client("s3").get_object(Bucket=deployed.names.site, Key="index.html")["Body"].read()
    assert b"<html" in page


def test_the_reporter_carries_what_lies_in_the_outbox(deployed: Deployed) -> None:
    deployed.office.leave_lease(deployed.lab.epoch, op_id="left")
    deployed.office.post_report(Report(key="end-1", subject="the end", text="all is done"), op_id="post")
    assert handlers.report({}, None) == {"made": "", "delivered": ["end-1"], "page": ""}
    assert deployed.tap.drain() == [("the end [end-1]", "all is done")]


def test_an_instance_that_is_gone_gives_back_what_it_ran(deployed: Deployed) -> None:
    id = deployed.lab.ready()
    machine = Machine(id="i-0abc", type="c7i.xlarge", zone="us-east-1a", spot=True)
    deployed.backend.ledger.claim(id, worker="i-0abc-7", device_class="cpu2", machine=machine, op_id="claim")
    event = {"detail-type": "EC2 Instance State-change Notification",
             "detail": {"instance-id": "i-0abc", "state": "terminated"}}
    assert handlers.fleet(event, None) == {"kind": "gone", "instance": "i-0abc"}
    assert deployed.backend.ledger.experiment(id).attempts[-1].ending == "interrupted"
    message = deployed.backend.queues["cpu"].receive(30.0)
    assert message is not None
    assert message.body == id
    assert handlers.fleet({"detail-type": "Scheduled Event"}, None) == {"passed_over": "Scheduled Event"}


def test_a_dead_message_ends_its_experiment_and_others_are_dropped(deployed: Deployed) -> None:
    poison, other = deployed.lab.ready(), deployed.lab.end(experiment("done"))
    for _ in range(2):
        assert handlers.dead_letters(dead(poison, other, "e9999"), None) == {"batchItemFailures": []}
    outcome = deployed.backend.ledger.experiment(poison).outcome
    assert outcome is not None
    assert (outcome.verdict, outcome.reason) == ("failed", "poison")


def test_a_dead_message_that_could_not_be_looked_at_comes_again(deployed: Deployed) -> None:
    id = deployed.lab.ready()
    deployed.account.client("dynamodb").delete_table(TableName=deployed.names.table)
    assert handlers.dead_letters(dead(id), None) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}


class CloudFormation(HTTPServer):
    """Waits for the answer of a custom resource."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Answered)

    def asks(self, kind: str, **given: str) -> dict[str, Any]:
        """What it is answered."""
        once = Thread(target=self.handle_request)
        once.start()
        handlers.settings({"RequestType": kind, "ResponseURL": f"http://127.0.0.1:{self.server_port}/told",
                           "StackId": "stack", "RequestId": "request", "LogicalResourceId": "Adopted",
                           "ResourceProperties": given}, None)
        once.join(30)
        return self.answers.pop()


class _Answered(BaseHTTPRequestHandler):
    server: CloudFormation

    def do_PUT(self) -> None:
        assert not self.headers["Content-Type"], "its address is signed without one"
        self.server.answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def test_a_deploy_is_answered_whatever_becomes_of_the_settings(deployed: Deployed,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudFormation() as there:
        first = there.asks("Create", Text="[budget]\nmonthly_usd = 30\n", MonthlyUsd="500")
        again = there.asks("Update", Text="[budget]\nmonthly_usd = 31\n", MonthlyUsd="500")
        with monkeypatch.context() as patch:
            patch.setattr(handlers.deployed, "adopt", lambda *_: "長" * 5000)
            long = there.asks("Update", Text="", MonthlyUsd="500")
            patch.setattr(handlers.deployed, "adopt", lambda *_: 1 // 0)
            broken = there.asks("Update", Text="", MonthlyUsd="500")
        monkeypatch.setenv("AETHER_PREFIX", "nobodys")
        handlers._lab.cache_clear()
        gone = there.asks("Delete", Text="", MonthlyUsd="500")
        lost = there.asks("Update", Text="", MonthlyUsd="500")
    assert first == {"Status": "SUCCESS", "PhysicalResourceId": deployed.names.prefix, "StackId": "stack",
                     "RequestId": "request", "LogicalResourceId": "Adopted",
                     "Data": {"Told": "revision 1 is in force, by this deploy"}}
    assert "would change budget.monthly_usd: 30.0 → 31.0" in again["Data"]["Told"]
    assert gone["Data"]["Told"] == "left as they are"
    assert [(one["Status"], one["Data"]["Told"][:14]) for one in (lost, broken)] == [("SUCCESS", "not looked at:")] * 2
    assert 2000 < len(json.dumps(long, ensure_ascii=False).encode()) < 4096
