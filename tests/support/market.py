"""An account's market by what a test says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.errors import Refused
from lab.experiment import Machine
from lab.market import House, Rented
from lab.money import Bill

BOUND, FIXED, SPOT_USD_H = 0.25, 0.02, 0.07


@dataclass
class Listed:
    """Implements `lab.market.Market`."""

    known: dict[str, float] = field(default_factory=lambda: {"i-1": SPOT_USD_H})
    rented: tuple[Rented, ...] = ()
    troubles: tuple[str, ...] = ()
    bound: float | None = BOUND
    asked: list[float] = field(default_factory=list)
    answer: Bill | None = None
    requests_usd_so_far: float | None = None

    def bound_usd_h(self, job_class: str) -> float:
        if self.bound is None:
            raise Refused(f"no price is known of {job_class}")
        return self.bound

    def usd_h(self, machine: Machine) -> float | None:
        return self.known.get(machine.id)

    def requests_usd(self, counted: Mapping[str, float]) -> float:
        """A dollar each."""
        return sum(counted.values())

    def house(self) -> House:
        return House(fixed_usd_h=FIXED, rented=self.rented, requests_usd=self.requests_usd_so_far)

    def trouble(self) -> tuple[str, ...]:
        return self.troubles

    def ask_bill(self, wall: float) -> None:
        self.asked.append(wall)

    def bill(self) -> Bill | None:
        found, self.answer = self.answer, None
        return found
