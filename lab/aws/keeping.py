"""Keeping a worker's instance for a look: by a tag, which the instance reads itself before it gives itself back.

Its hours are the house's: the daemon reserves them ahead, as of every instance that runs without work. So a person is
told what the look costs at most, and that is all that has to be done here. While the lab rests nobody reserves them;
they are booked as they pass, and `aether work keep` says so.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from lab.aws import clients
from lab.aws.backend import names_here
from lab.aws.errors import plain_errors
from lab.aws.instances import instances_of
from lab.aws.names import Names
from lab.aws.prices import Region, prices_of
from lab.errors import NotFound
from lab.experiment import JOB_CLASSES
from lab.money import Microusd, cost_of

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

TAG = "aether:keep"  # as `cdk/boot/instance.py` reads it
MINUTE_S = 60.0


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's instance that may be kept; `usd_h` is what an hour of it costs at most."""

    id: str
    type: str
    usd_h: float

    def cost(self, minutes: int) -> Microusd:
        return cost_of(minutes * MINUTE_S, self.usd_h)


class Keeper:
    """Of the instances of one lab."""

    def __init__(self, client: EC2Client, names: Names, prices: Region) -> None:
        self._client, self._names, self._prices = client, names, prices

    def find(self, id: str) -> Found:
        """Raises NotFound, naming those that run, and Refused for a type without a price."""
        groups = {self._names.group(one) for one in JOB_CLASSES}
        running = {one.machine.id: one for one in instances_of(self._client, self._names.prefix) if one.group in groups}
        if id not in running:
            raise NotFound(f"no worker of this lab runs on {id!r}; running: {', '.join(sorted(running)) or 'none'}")
        type = running[id].machine.type
        return Found(id=id, type=type, usd_h=self._prices.on_demand(type) + self._prices.address_usd_h)

    def keep(self, id: str, minutes: int, now: float) -> None:
        """For so long from when the instance sees it, also once its worker has ended; 0 lets it go. Said again, it
        counts anew, so the tag says when it was asked."""
        asked = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        with plain_errors("EC2 tags"):
            self._client.create_tags(Resources=[id], Tags=[{"Key": TAG, "Value": f"{minutes} minutes, asked {asked}"}])


def keeper(prefix: str) -> Keeper:
    """Of the lab `prefix` in the account and region in force. Raises Unavailable, and Refused where no prices are
    known."""
    names = names_here(prefix)
    return Keeper(clients.ec2(region_name=names.region), names, prices_of(names.region))
