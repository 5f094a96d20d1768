"""What the account was billed beside what the lab booked for the same days, and the difference in words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from lab.money import Bill, Entry, Microusd, usd

MOST_NAMED = 3  # services
LAG = "AWS tells a day's costs when another has passed"
NO_TAG = ("nothing is billed under the tag aether:lab: activate it in the account's billing console (cost allocation "
          "tags); it counts from then on")


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    bill: Bill
    booked: Microusd  # in the bill's days

    @property
    def difference(self) -> Microusd:
        """What was billed and not booked; below zero where more was booked."""
        return self.bill.billed - self.booked


def reconcile(bill: Bill | None, entries: Iterable[Entry]) -> Reconciliation | None:
    """None for a lab that has no bill."""
    if bill is None:
        return None
    start, end = _midnight(bill.first), _midnight(bill.end)
    return Reconciliation(bill=bill, booked=sum(entry.amount for entry in entries if start <= entry.at < end))


def bill_lines(found: Reconciliation | None) -> list[str]:
    if found is None:
        return []
    lines, bill = list[str](), found.bill
    if bill.by_service or not bill.why:
        last = (datetime.fromisoformat(bill.end) - timedelta(days=1)).date().isoformat()
        lines.append(f"billed by AWS from {bill.first} to {last}: {usd(bill.billed)}{_by_service(bill)}; booked here "
                     f"in these days: {usd(found.booked)}, {_apart(found)}; {LAG}")
        if not bill.billed and found.booked:
            lines.append(NO_TAG)
    if bill.why:
        lines.append(f"the bill of AWS could not be read: {bill.why}")
    return lines


def _apart(found: Reconciliation) -> str:
    share = f" ({abs(found.difference) / found.bill.billed:.0%})" if found.bill.billed else ""
    if found.difference == 0:
        return "the same"
    return f"{usd(abs(found.difference))} {'too little' if found.difference > 0 else 'too much'}{share}"


def _by_service(bill: Bill) -> str:
    dearest = sorted(bill.by_service.items(), key=lambda one: -one[1])[:MOST_NAMED]
    told = ", ".join(f"{name} {usd(amount)}" for name, amount in dearest if amount)
    return f" ({told})" if told else ""


def _midnight(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
