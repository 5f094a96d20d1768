"""What the machines of an account cost: asked by the daemon, which never waits for an answer.

A lab on one machine has no market; there the settings say what an hour costs (`[prices]`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import fsum
from typing import Protocol

import msgspec

from lab.backend import Backend
from lab.experiment import Machine
from lab.money import Bill


class Rented(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of a fleet that runs now. `aside_usd_h` (its disk, its address) is paid whether it works or not; an
    attempt is billed the rest while it has one."""

    id: str
    usd_h: float
    bound_usd_h: float  # what `usd_h` may come to at most
    aside_usd_h: float = 0.0


class House(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to no attempt: the orchestrator and what is stored, and machines that boot or have no work. Sums are
    exact, so that the same machines in another order cost the same. `requests_usd`: what this process has asked of the
    account since it began, where that is paid for."""

    fixed_usd_h: float
    rented: tuple[Rented, ...] = ()
    requests_usd: float | None = None

    def usd_h(self, busy: Collection[str]) -> float:
        """While attempts pay for the machines `busy`."""
        idle = (one.usd_h for one in self.rented if one.id not in busy)
        return fsum((self.fixed_usd_h, *(one.aside_usd_h for one in self.rented), *idle))

    @property
    def bound_usd_h(self) -> float:
        """While none of these machines has work."""
        return fsum((self.fixed_usd_h, *(one.aside_usd_h for one in self.rented),
                     *(one.bound_usd_h for one in self.rented)))


class Market(Protocol):
    """Answers at once, with what was last seen. `trouble` says what could not be looked at lately, a line each."""

    def bound_usd_h(self, job_class: str) -> float:
        """What an hour of its dearest machine costs at most. Raises Refused where that is not known."""
        ...

    def usd_h(self, machine: Machine) -> float | None:
        """What an hour of this very machine costs now; None where nobody knows."""
        ...

    def requests_usd(self, counted: Mapping[str, float]) -> float:
        """What requests cost that a worker has counted, by their kinds."""
        ...

    def house(self) -> House: ...

    def trouble(self) -> tuple[str, ...]: ...

    def ask_bill(self, wall: float) -> None:
        """Ask for what the account was billed this month. It costs a cent; the answer comes by `bill`, once."""
        ...

    def bill(self) -> Bill | None: ...


def open_market(backend: Backend) -> Market | None:
    """Of that lab, looking at it from now on; None for one that rents nothing. Raises UserError where no prices of its
    region are known."""
    scheme, _, prefix = backend.address.partition(":")
    if scheme != "aws" or backend.requests is None:
        return None
    from lab.aws.market import open_account
    return open_account(prefix, backend.requests)
