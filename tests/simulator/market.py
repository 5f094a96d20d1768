"""The market of a world that rents its machines: prices rise, fall and are unknown, and a fleet comes and goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lab.experiment import Machine
from lab.market import House, Rented
from lab.money import Bill

if TYPE_CHECKING:
    from simulator.world import World

BOUND_USD_H = 1.0
STRETCH_S = 400.0  # for so long each price stands
PRICES = (0.3, 0.0, 0.7, 1.5)  # 0: nobody knows; 1.5: beyond what is reserved


def machine(worker: str) -> Machine:
    return Machine(id=worker, type="c5.xlarge", zone=f"us-east-1{'ab'[len(worker) % 2]}", spot=True)


class StreetMarket:
    """Implements `lab.market.Market`; it draws nothing of the world's randomness."""

    def __init__(self, world: World) -> None:
        self._world, self._asked = world, 0.0

    def bound_usd_h(self, job_class: str) -> float:
        return BOUND_USD_H

    def usd_h(self, machine: Machine) -> float | None:
        stretch = int(self._world.now / STRETCH_S) + len(machine.id)
        return PRICES[stretch % len(PRICES)] or None

    def requests_usd(self, counted: Mapping[str, float]) -> float:
        return 0.0

    def house(self) -> House:
        return House(fixed_usd_h=0.005, rented=tuple(
            Rented(id=one.name, usd_h=0.03, bound_usd_h=0.05, aside_usd_h=0.001)
            for one in self._world.crew if one.name.startswith("w")))

    def trouble(self) -> tuple[str, ...]:
        return ("spot prices are as last seen",) if int(self._world.now / STRETCH_S) % 2 else ()

    def ask_bill(self, wall: float) -> None:
        self._asked = wall

    def bill(self) -> Bill | None:
        asked, self._asked = self._asked, 0.0
        return Bill(first="2026-11-01", end="2026-11-29", at=asked, by_service={"EC2": 1}) if asked else None
