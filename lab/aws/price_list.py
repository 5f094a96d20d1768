"""Writes the table of on-demand prices anew from AWS's own price list, where that can be reached.

    python -m lab.aws.price_list us-east-1 eu-central-1

The role or user needs `pricing:GetProducts`. Instances and disks are read; what they do not tell of a new region (the
address, the ledger, the store, requests) is taken over from the first region of the table, and the source says so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import msgspec
from msgspec.structs import replace

from lab.aws.clients import PATIENT
from lab.aws.errors import plain_errors
from lab.aws.prices import TABLE, Region, price_list
from lab.aws.rentable import ORCHESTRATOR, TYPES
from lab.errors import AetherError, NotFound

LISTED_IN = "us-east-1"  # the list of every region
SOURCE = "AWS's price list; address, ledger, store and requests as in {}"
MACHINE = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
DISK = {"volumeApiName": "gp3", "productFamily": "Storage"}


def read(client: Any, region: str, old: Region, copied: str, today: str) -> Region:
    """The prices of today. Raises Unavailable, and NotFound for a type that is not sold there."""
    types = (ORCHESTRATOR, *(type for group in TYPES.values() for type in group))
    return replace(
        old, as_of=today, source=SOURCE.format(copied),
        instance_usd_h={type: _price(client, region, {"instanceType": type, **MACHINE}) for type in types},
        disk_usd_gb_month=_price(client, region, DISK))


def _price(client: Any, region: str, where: Mapping[str, str]) -> float:
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value}
               for field, value in {"regionCode": region, **where}.items()]
    with plain_errors("AWS's price list"):
        pages = client.get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters)
        found = [price for page in pages for one in page["PriceList"] for price in _prices(json.loads(one))]
    if not found:
        raise NotFound(f"AWS lists no price of {', '.join(where.values())} in {region}")
    return max(found)


def _prices(product: Mapping[str, Any]) -> Iterator[float]:
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if (price := float(dimension["pricePerUnit"].get("USD", 0))) > 0:
                yield price


def main(regions: list[str], path: Path = TABLE, client: Any = None) -> None:
    client = client or boto3.client("pricing", region_name=LISTED_IN, config=PATIENT)
    table, today = price_list(path), datetime.now(UTC).date().isoformat()
    first = next(iter(table.regions))
    new = {one: read(client, one, table.regions.get(one, table.regions[first]), first, today) for one in regions}
    written = replace(table, regions=table.regions | new)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(written), indent=1) + b"\n")
    print(f"{path}: prices of {', '.join(regions)} as of {today}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:] or [LISTED_IN])
    except AetherError as error:
        sys.exit(f"error: {error}")
