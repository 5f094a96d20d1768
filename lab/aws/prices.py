"""What a rented machine costs an hour: on demand by a dated table, on the spot market as AWS last told.

The table is what is reserved at most, and what counts where no spot price is known. A region or a type that is not in
it is refused: an unknown price is never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lab.aws.errors import plain_errors
from lab.aws.rentable import TYPES
from lab.errors import Refused

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

TABLE = Path(__file__).with_name("on_demand.json")
LINUX = "Linux/UNIX"


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars, without tax: instances on demand and public addresses by the hour, the rest for a GB and month."""

    as_of: str
    source: str
    instance_usd_h: dict[str, float]
    address_usd_h: float
    disk_usd_gb_month: float
    ledger_usd_gb_month: float
    store_usd_gb_month: float
    requests_usd_million: dict[str, float]  # by the kinds of `lab.aws.requests`

    def on_demand(self, type: str) -> float:
        if not (price := self.instance_usd_h.get(type, 0.0)) > 0:
            raise Refused(f"no price is known of an instance {type}: `python -m lab.aws.price_list` reads it")
        return price

    def dearest(self, job_class: str) -> float:
        """Dollars an hour of whatever its fleet may rent, at most. Raises Refused if one of them has no price."""
        if job_class not in TYPES:
            raise Refused(f"no fleet rents for the job class {job_class!r}")
        return max(self.on_demand(type) for type in TYPES[job_class])


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    note: str
    regions: dict[str, Region]


def price_list(path: Path = TABLE) -> PriceList:
    return msgspec.json.decode(path.read_bytes(), type=PriceList)


def prices_of(region: str, path: Path = TABLE) -> Region:
    """Raises Refused where the table has nothing of that region."""
    found = price_list(path).regions
    if region not in found:
        raise Refused(f"no prices of {region} are known, only of {', '.join(found)}: `python -m lab.aws.price_list "
                      f"{region}` reads them from AWS; then deploy again")
    return found[region]


class SpotPrices:
    """The newest price of each type and zone. Where AWS cannot be asked, the last ones stay."""

    def __init__(self, client: EC2Client, types: Sequence[str],
                 now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._client, self._types, self._now = client, types, now
        self._known: dict[tuple[str, str], float] = {}

    def refresh(self) -> None:
        """Raises Unavailable. From now on: of each type and zone AWS then tells the price in force alone."""
        newest: dict[tuple[str, str], tuple[datetime, float]] = {}
        with plain_errors("spot prices"):
            pages = self._client.get_paginator("describe_spot_price_history").paginate(
                InstanceTypes=list(self._types), ProductDescriptions=[LINUX],  # type: ignore[arg-type]
                StartTime=self._now())
            for told in (one for page in pages for one in page["SpotPriceHistory"]):
                key, at, price = (told["InstanceType"], told["AvailabilityZone"]), told["Timestamp"], told["SpotPrice"]
                if float(price) > 0 and (key not in newest or newest[key][0] < at):
                    newest[key] = (at, float(price))
        self._known = self._known | {key: price for key, (_, price) in newest.items()}

    def usd_h(self, type: str, zone: str) -> float | None:
        """None where none was ever told."""
        return self._known.get((type, zone))
