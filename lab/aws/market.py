"""What the machines of an account cost, looked at by a thread of its own, so that the daemon never waits for AWS.

Spot prices are asked for every five minutes, instances every minute, what is stored every six hours. Where AWS cannot
be asked, the last answers stay, and `trouble` says so; before the first, the table of on-demand prices counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from typing import Any

from lab.aws import bill, clients, stored
from lab.aws.backend import names_here
from lab.aws.instances import Instance, instances_of
from lab.aws.names import Names
from lab.aws.prices import Region, SpotPrices, prices_of
from lab.aws.rentable import ORCHESTRATOR, ORCHESTRATOR_DISK_GIB, TYPES
from lab.aws.requests import Requests, cost_usd
from lab.aws.table import connect
from lab.errors import Refused, Unavailable, UserError
from lab.experiment import Machine
from lab.market import House, Rented
from lab.money import Bill

SPOT_EVERY_S, INSTANCES_EVERY_S, STORED_EVERY_S = 300.0, 60.0, 6 * 3600.0
HOURS_A_MONTH = 730.0
WAKE_S = 5.0  # how late a look may be


@dataclass
class Look:
    """One thing that is looked at again and again."""

    what: str
    every_s: float
    look: Callable[[], None]
    due: float = 0.0
    trouble: str = ""


class AccountMarket:
    """Implements `lab.market.Market`. `look` does what is due, once; `start` does so from now on in a thread."""

    def __init__(self, names: Names, prices: Region, *, ec2: Any, dynamodb: Any, cloudwatch: Any, explorer: Any,
                 requests: Requests, now: Callable[[], float] = monotonic) -> None:
        self._names, self._prices, self._requests, self._now = names, prices, requests, now
        self._ec2, self._dynamodb, self._cloudwatch, self._explorer = ec2, dynamodb, cloudwatch, explorer
        self._spot = SpotPrices(ec2, [type for types in TYPES.values() for type in types])
        self._instances: Sequence[Instance] = ()
        self._stored_usd_h = 0.0
        self._asked: float | None = None  # for which wall time a bill is asked
        self._bill: Bill | None = None
        self._ending = Event()
        self._thread: Thread | None = None
        self._looks = (Look("spot prices", SPOT_EVERY_S, self._spot.refresh),
                       Look("instances", INSTANCES_EVERY_S, self._see_instances),
                       Look("amounts stored", STORED_EVERY_S, self._see_stored))

    def start(self) -> None:
        self._thread = Thread(target=self._go_on, name="market", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()

    def look(self) -> None:
        """Everything that is due. What cannot be asked is asked again when it is due again."""
        for one in self._looks:
            if self._now() < one.due:
                continue
            one.due = self._now() + one.every_s
            try:
                one.look()
                one.trouble = ""
            except Unavailable as error:
                one.trouble = f"{one.what} are as last seen: {error}"
        if self._asked is not None:
            self._bill, self._asked = bill.bill(self._explorer, self._names.prefix, self._asked), None

    def _go_on(self) -> None:
        self.look()
        while not self._ending.wait(WAKE_S):
            self.look()

    # ------------------------------------------------------------------ what the daemon asks

    def bound_usd_h(self, job_class: str) -> float:
        return self._prices.dearest(job_class)

    def usd_h(self, machine: Machine) -> float | None:
        """On the spot market where it was bought there and a price is known; else on demand."""
        spot = self._spot.usd_h(machine.type, machine.zone) if machine.spot else None
        return spot if spot is not None else self._prices.instance_usd_h.get(machine.type)

    def requests_usd(self, counted: Mapping[str, float]) -> float:
        return cost_usd(counted, self._prices.requests_usd_million)

    def house(self) -> House:
        orchestrator = f"{self._names.prefix}-orchestrator"
        fixed = self._prices.on_demand(ORCHESTRATOR) + self._aside_usd_h(ORCHESTRATOR_DISK_GIB) + self._stored_usd_h
        return House(fixed_usd_h=fixed, requests_usd=self.requests_usd(self._requests.count()),
                     rented=tuple(self._rented(one) for one in self._instances if one.group != orchestrator))

    def trouble(self) -> tuple[str, ...]:
        said = tuple(one.trouble for one in self._looks if one.trouble)
        ended = self._thread is not None and not self._thread.is_alive() and not self._ending.is_set()
        return (*said, "nobody looks at prices any more: a fault of ours, in the log") if ended else said

    def ask_bill(self, wall: float) -> None:
        self._asked = wall

    def bill(self) -> Bill | None:
        found, self._bill = self._bill, None
        return found

    # ------------------------------------------------------------------ what the thread sees

    def _see_instances(self) -> None:
        self._instances = instances_of(self._ec2, self._names.prefix)

    def _see_stored(self) -> None:
        table, bucket = stored.table_gb(self._dynamodb, self._names), stored.bucket_gb(self._cloudwatch, self._names)
        month = table * self._prices.ledger_usd_gb_month + bucket * self._prices.store_usd_gb_month
        self._stored_usd_h = month / HOURS_A_MONTH

    def _rented(self, one: Instance) -> Rented:
        """A type without a price counts as the dearest that has one."""
        dearest = max(self._prices.instance_usd_h.values())
        usd_h = self.usd_h(one.machine) or dearest
        bound = max(usd_h, self._prices.instance_usd_h.get(one.machine.type, dearest))
        return Rented(id=one.machine.id, usd_h=usd_h, bound_usd_h=bound, aside_usd_h=self._aside_usd_h(one.disk_gib))

    def _aside_usd_h(self, disk_gib: int) -> float:
        return self._prices.address_usd_h + disk_gib * self._prices.disk_usd_gb_month / HOURS_A_MONTH


def open_account(prefix: str, requests: Requests) -> AccountMarket:
    """Raises UserError, and Unavailable."""
    names = names_here(prefix)
    try:
        prices = prices_of(names.region)
    except Refused as error:
        raise UserError(f"aws:{prefix}: {error}") from error
    there = {"region_name": names.region}
    market = AccountMarket(names, prices, ec2=clients.ec2(**there), dynamodb=connect(**there),
                           cloudwatch=clients.cloudwatch(**there),
                           explorer=requests.watched(clients.cost_explorer(**there)), requests=requests)
    market.start()
    return market
