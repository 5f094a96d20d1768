"""What an account's machines cost, as a thread sees it: against moto's EC2, and where AWS does not answer."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from lab.aws import bill, clients
from lab.aws.market import INSTANCES_EVERY_S, AccountMarket, open_account
from lab.aws.names import Names
from lab.aws.prices import prices_of
from lab.aws.requests import Requests
from lab.errors import UserError
from lab.experiment import Machine
from lab.money import Bill
from support.account import Account
from support.moto import Machines
from support.servers import Endpoint

NAMES = Names("lab", "000000000000", "us-east-1")
WHERE: dict[str, Any] = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
PRICES = prices_of("us-east-1")
MOTOS = 0.00001  # what moto asks on its spot market for anything
NOON = 1_795_996_800.0 + 12 * 3600  # 2026-11-30T12:00 UTC
SERVICES = ("ec2", "dynamodb", "cloudwatch", "ce")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def market_of(client: Any, clock: Clock) -> AccountMarket:
    ec2, dynamodb, cloudwatch, explorer = (client(service) for service in SERVICES)
    return AccountMarket(NAMES, PRICES, ec2=ec2, dynamodb=dynamodb, cloudwatch=cloudwatch, explorer=explorer,
                         requests=Requests(), now=clock)


def tagged(machines: Machines, ids: list[str], lab: str = "lab") -> None:
    machines.client("ec2").create_tags(Resources=ids, Tags=[{"Key": "aether:lab", "Value": lab}])


@pytest.mark.ci
def test_the_house_is_what_runs_of_the_lab_beside_its_orchestrator(machines: Machines) -> None:
    cpu = machines.group("lab-cpu", 4, 2, ("c5.xlarge",))
    tagged(machines, [*cpu, *machines.group("lab-orchestrator", 1, 1, ("t4g.micro",))])
    tagged(machines, machines.group("other-cpu", 1, 1, ("c5.xlarge",)), "other")
    clock = Clock()
    market = market_of(machines.client, clock)
    assert market.house().rented == (), "nothing was looked at yet"
    market.look()
    house = market.house()
    assert {one.id for one in house.rented} == set(cpu)
    assert house.fixed_usd_h == pytest.approx(0.0084 + 0.005 + 16 * 0.08 / 730)
    one = house.rented[0]
    assert (one.usd_h, one.bound_usd_h) == (0.17, 0.17)
    disk_gib = sum(volume["Size"] for volume in machines.client("ec2").describe_volumes()["Volumes"]
                   if volume["Attachments"][0]["InstanceId"] == one.id)
    assert one.aside_usd_h == pytest.approx(0.005 + disk_gib * 0.08 / 730)
    machines.client("ec2").terminate_instances(InstanceIds=cpu)
    market.look()
    assert len(market.house().rented) == 2, "a minute is not over"
    clock.now += INSTANCES_EVERY_S
    market.look()
    assert market.house().rented == ()


@pytest.mark.ci
def test_a_spot_machine_costs_what_its_market_asks_and_one_on_demand_what_the_table_says(machines: Machines) -> None:
    spot = Machine(id="i-1", type="g5.xlarge", zone="us-east-1a", spot=True)
    market = market_of(machines.client, Clock())
    assert market.usd_h(spot) == 1.006, "before the first look"
    market.look()
    assert market.usd_h(spot) == MOTOS
    assert market.usd_h(Machine(id="i-2", type="g5.xlarge", zone="us-east-1a", spot=False)) == 1.006
    assert market.usd_h(Machine(id="i-3", type="x9.metal", zone="us-east-1a", spot=True)) is None
    assert market.bound_usd_h("gpu") == PRICES.instance_usd_h["g6e.4xlarge"]


@pytest.mark.ci
def test_a_bought_spot_instance_is_known_as_one(machines: Machines) -> None:
    (bought,) = machines.client("ec2").run_instances(
        ImageId="ami-12c6146b", InstanceType="g5.xlarge", MinCount=1, MaxCount=1,
        InstanceMarketOptions={"MarketType": "spot"}, Placement={"AvailabilityZone": "us-east-1a"})["Instances"]
    tagged(machines, [bought["InstanceId"]])
    market = market_of(machines.client, Clock())
    market.look()
    (one,) = market.house().rented
    assert (one.usd_h, one.bound_usd_h) == (MOTOS, 1.006)


def stubs() -> tuple[dict[str, Any], dict[str, Stubber]]:
    made = {service: boto3.client(service, **WHERE) for service in SERVICES}  # type: ignore[call-overload]
    answers = {service: Stubber(client) for service, client in made.items()}
    for one in answers.values():
        one.activate()
    return made, answers


def test_where_aws_may_not_be_asked_the_table_counts_and_each_thing_is_said() -> None:
    made, answers = stubs()
    answers["ec2"].add_client_error("describe_spot_price_history", "UnauthorizedOperation", "no")
    answers["ec2"].add_client_error("describe_instances", "UnauthorizedOperation", "no")
    answers["dynamodb"].add_response("describe_table", {"Table": {"TableSizeBytes": 2_000_000_000}})
    answers["cloudwatch"].add_client_error("get_metric_statistics", "AccessDenied", "no")
    market = market_of(made.__getitem__, Clock())
    market.look()
    assert market.usd_h(Machine(id="i-1", type="g5.xlarge", zone="us-east-1a", spot=True)) == 1.006
    assert [line.split(":")[0] for line in market.trouble()] == [
        "spot prices are as last seen", "instances are as last seen", "amounts stored are as last seen"]


@pytest.mark.ci
def test_an_answer_that_is_none_of_aws_is_no_end_of_looking(account: Account) -> None:
    """This emulator knows no EC2 and no Cost Explorer, and says so in a form that no library can read."""
    market = market_of(account.client, Clock())
    market.look()
    assert [line.split(":")[0] for line in market.trouble()] == [
        "spot prices are as last seen", "instances are as last seen", "amounts stored are as last seen"]
    assert all("\n" not in line for line in market.trouble())
    market.ask_bill(NOON)
    market.look()
    assert (found := market.bill()) is not None
    assert "Cost Explorer" in found.why


def test_what_is_stored_is_the_houses() -> None:
    made, answers = stubs()
    answers["ec2"].add_response("describe_spot_price_history", {"SpotPriceHistory": []})
    answers["ec2"].add_response("describe_instances", {"Reservations": []})
    answers["dynamodb"].add_response("describe_table", {"Table": {"TableSizeBytes": 2_000_000_000}})
    answers["cloudwatch"].add_response("get_metric_statistics", {"Datapoints": [
        {"Timestamp": NOON, "Average": 30e9}, {"Timestamp": NOON - 86400, "Average": 10e9}]})
    market = market_of(made.__getitem__, Clock())
    before = market.house().fixed_usd_h
    market.look()
    assert market.house().fixed_usd_h - before == pytest.approx((2 * 0.45 + 30 * 0.023) / 730)
    assert market.trouble() == ()


def explorer(*pages: dict[str, str]) -> tuple[Any, Stubber]:
    client = clients.cost_explorer(**WHERE)
    answers = Stubber(client)
    asked = {"TimePeriod": {"Start": "2026-11-01", "End": "2026-11-29"}, "Granularity": "MONTHLY",
             "Metrics": ["UnblendedCost"], "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
             "Filter": {"Tags": {"Key": "aether:lab", "Values": ["lab"]}}}
    for n, page in enumerate(pages, 1):
        groups = [{"Keys": [name], "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": "USD"}}}
                  for name, amount in page.items()]
        more = {"NextPageToken": f"page {n}"} if n < len(pages) else {}
        answers.add_response("get_cost_and_usage", {"ResultsByTime": [{"Groups": groups}], **more},
                             asked if n == 1 else {**asked, "NextPageToken": ANY})
    answers.activate()
    return client, answers


def test_the_bill_is_of_the_month_to_date_by_service_over_all_pages() -> None:
    client, answers = explorer({"Amazon EC2": "3.1234567", "Amazon S3": "0.02"}, {"Amazon EC2": "0.5"})
    assert bill.bill(client, "lab", NOON) == Bill(
        first="2026-11-01", end="2026-11-29", at=NOON, by_service={"Amazon EC2": 3_623_457, "Amazon S3": 20_000})
    answers.assert_no_pending_responses()


@pytest.mark.parametrize(("day", "first", "end"), [
    (1, "2026-10-01", "2026-10-31"), (2, "2026-10-01", "2026-11-01"), (3, "2026-11-01", "2026-11-02")])
def test_a_month_that_is_not_told_of_yet_is_the_one_before(day: int, first: str, end: str) -> None:
    client = clients.cost_explorer(**WHERE)
    answers = Stubber(client)
    answers.add_response("get_cost_and_usage", {"ResultsByTime": []})
    answers.activate()
    found = bill.bill(client, "lab", NOON - (30 - day) * 86400)
    assert (found.first, found.end) == (first, end)


@pytest.mark.parametrize(("code", "fix"), [
    ("AccessDeniedException", "permission"), ("DataUnavailableException", "call again")])
def test_a_bill_that_may_not_be_read_is_one_line(code: str, fix: str) -> None:
    client = clients.cost_explorer(**WHERE)
    answers = Stubber(client)
    answers.add_client_error("get_cost_and_usage", code, "User not enabled for cost explorer access")
    answers.activate()
    found = bill.bill(client, "lab", NOON)
    assert found.by_service == {}
    assert found.why.startswith(f"Cost Explorer: {code}: User not enabled")
    assert fix in found.why
    assert "\n" not in found.why


def test_a_bill_is_asked_for_beside_the_daemon_and_given_once() -> None:
    made, _ = stubs()
    made["ce"], _ = explorer({"Amazon EC2": "1.0"})
    market = market_of(made.__getitem__, Clock())
    market.ask_bill(NOON)
    assert market.bill() is None
    market.look()
    assert (found := market.bill()) is not None
    assert found.billed == 1_000_000
    assert market.bill() is None


@pytest.mark.ci
def test_a_region_whose_prices_nobody_knows_is_refused_at_the_start(
        moto_server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**Account(moto_server).environment(), "AWS_REGION": "eu-north-1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"aws:lab: no prices of eu-north-1 are known.*price_list eu-north-1"):
        open_account("lab", Requests())
