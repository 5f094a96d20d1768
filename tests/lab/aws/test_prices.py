"""Prices of what is rented: a dated table that refuses what it does not know, and the spot market as AWS tells it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from lab.aws import clients
from lab.aws.doctor import prices
from lab.aws.price_list import main
from lab.aws.prices import LINUX, TABLE, SpotPrices, price_list, prices_of
from lab.aws.rentable import ORCHESTRATOR, TYPES
from lab.errors import NotFound, Refused, Unavailable
from support.moto import Machines

WHERE: dict[str, Any] = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize("region", list(price_list().regions))
def test_all_that_a_lab_rents_has_a_price_and_the_dearest_of_its_class_is_the_bound(region: str) -> None:
    prices = prices_of(region)
    for job_class, types in TYPES.items():
        assert all(0 < prices.on_demand(type) <= prices.dearest(job_class) for type in types)
    assert prices.dearest("cpu") < prices.dearest("gpu")
    assert prices.on_demand(ORCHESTRATOR) == 0.0084
    assert prices.as_of
    assert prices.source


def test_what_has_no_price_is_refused_and_never_free() -> None:
    with pytest.raises(Refused, match=r"no price is known of an instance x9\.metal"):
        prices_of("us-east-1").on_demand("x9.metal")
    with pytest.raises(Refused, match="no fleet rents for the job class 'tpu'"):
        prices_of("us-east-1").dearest("tpu")
    with pytest.raises(Refused, match=r"no prices of mars-north-1 are known.*price_list mars-north-1"):
        prices_of("mars-north-1")


@pytest.mark.ci
def test_spot_prices_are_read_of_each_type_and_zone(machines: Machines) -> None:
    spot = SpotPrices(machines.client("ec2"), TYPES["gpu"])
    assert spot.usd_h("g5.xlarge", "us-east-1a") is None
    spot.refresh()
    assert spot.usd_h("g5.xlarge", "us-east-1a") == 0.00001  # what moto asks for anything
    assert spot.usd_h("c5.xlarge", "us-east-1a") is None, "nobody asked for it"


def told(type: str, zone: str, price: str, age_h: float = 0.0) -> dict[str, Any]:
    return {"InstanceType": type, "AvailabilityZone": zone, "SpotPrice": price, "ProductDescription": LINUX,
            "Timestamp": NOON - timedelta(hours=age_h)}


def stubbed(*pages: list[dict[str, Any]]) -> tuple[SpotPrices, Stubber]:
    client = clients.ec2(**WHERE)
    answers = Stubber(client)
    for n, page in enumerate(pages, 1):
        asked = {"InstanceTypes": ["g5.xlarge", "g6.xlarge"], "ProductDescriptions": [LINUX], "StartTime": NOON}
        answers.add_response("describe_spot_price_history", {
            "SpotPriceHistory": page, "NextToken": f"page {n}" if n < len(pages) else ""},
            asked if n == 1 else {**asked, "NextToken": ANY})
    answers.activate()
    return SpotPrices(client, ("g5.xlarge", "g6.xlarge"), lambda: NOON), answers


def test_the_newest_price_counts_over_all_pages() -> None:
    spot, answers = stubbed(
        [told("g5.xlarge", "us-east-1a", "0.40", 5), told("g5.xlarge", "us-east-1b", "0.50", 1)],
        [told("g5.xlarge", "us-east-1a", "0.45", 2), told("g6.xlarge", "us-east-1a", "0.0", 2)])
    spot.refresh()
    answers.assert_no_pending_responses()
    assert spot.usd_h("g5.xlarge", "us-east-1a") == 0.45
    assert spot.usd_h("g5.xlarge", "us-east-1b") == 0.50
    assert spot.usd_h("g6.xlarge", "us-east-1a") is None, "nothing is free"


def test_the_last_prices_stay_where_aws_cannot_be_asked() -> None:
    spot, answers = stubbed([told("g5.xlarge", "us-east-1a", "0.40")])
    answers.add_client_error("describe_spot_price_history", "UnauthorizedOperation", "no")
    spot.refresh()
    with pytest.raises(Unavailable, match=r"spot prices: UnauthorizedOperation: no; .*permission"):
        spot.refresh()
    assert spot.usd_h("g5.xlarge", "us-east-1a") == 0.40


def product(price: str) -> str:
    return json.dumps({"terms": {"OnDemand": {"A": {"priceDimensions": {"A.1": {"pricePerUnit": {"USD": price}}}}}}})


def pricing(*prices: str | None) -> Any:
    client = boto3.client("pricing", **WHERE)
    answers = Stubber(client)
    for price in prices:
        answers.add_response("get_products", {"PriceList": [] if price is None else [product(price)]},
                             {"ServiceCode": "AmazonEC2", "Filters": ANY})
    answers.activate()
    return client


def test_the_table_is_written_anew_from_aws_own_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = Path(shutil.copy(TABLE, tmp_path))
    count = 1 + sum(map(len, TYPES.values()))
    main(["eu-west-1"], table, pricing(*(f"{n}.5" for n in range(1, count + 1)), "0.088"))
    written = prices_of("eu-west-1", table)
    assert (written.on_demand(ORCHESTRATOR), written.disk_usd_gb_month) == (1.5, 0.088)
    assert written.dearest("gpu") == count + 0.5
    assert written.as_of == datetime.now(UTC).date().isoformat()
    assert "AWS's price list" in written.source
    assert prices_of("us-east-1", table) == prices_of("us-east-1"), "others stay"
    assert "prices of eu-west-1" in capsys.readouterr().out


def test_a_type_that_is_not_sold_there_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    table = Path(shutil.copy(TABLE, tmp_path))
    with pytest.raises(NotFound, match=r"no price of t4g\.micro.* in eu-west-1"):
        main(["eu-west-1"], table, pricing(None))
    assert table.read_bytes() == TABLE.read_bytes()


def test_the_doctor_says_of_when_prices_are_and_what_to_do_where_there_are_none() -> None:
    known = prices("us-west-2")
    assert (known.level, known.found) == ("ok", "of us-west-2 as of 2025-06, by memory of AWS's public price list")
    missing = prices("mars-north-1")
    assert missing.level == "bad"
    assert "no prices of mars-north-1" in missing.found
    assert "price_list mars-north-1" in missing.fix
