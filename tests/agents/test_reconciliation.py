"""What AWS billed beside what was booked: the same days, the difference, and why there is none."""

from __future__ import annotations

from datetime import UTC, datetime

from agents.reconciliation import LAG, NO_TAG, bill_lines, reconcile
from lab.money import Bill, Entry

USD = 1_000_000
DAYS = {"first": "2026-11-01", "end": "2026-11-27"}


def entry(day: int, amount: int, hour: int = 0) -> Entry:
    return Entry(key=f"{day}.{hour}", amount=amount, budgets=(), what="attempt",
                 at=datetime(2026, 11, day, hour, tzinfo=UTC).timestamp())


def test_only_what_was_booked_in_the_days_of_the_bill_counts() -> None:
    bill = Bill(**DAYS, by_service={"Amazon EC2": 4 * USD})  # type: ignore[arg-type]
    booked = [entry(1, 2 * USD), entry(26, 1 * USD, 23), entry(27, 50 * USD)]
    found = reconcile(bill, booked)
    assert found is not None
    assert (found.booked, found.difference) == (3 * USD, 1 * USD)


def test_the_difference_is_told_with_its_days_its_services_and_the_lag() -> None:
    bill = Bill(**DAYS, by_service={"Amazon S3": USD // 10, "Amazon EC2": 4 * USD, "Tax": 0})  # type: ignore[arg-type]
    (line,) = bill_lines(reconcile(bill, [entry(5, 3 * USD)]))
    assert line == ("billed by AWS from 2026-11-01 to 2026-11-26: $4.10 (Amazon EC2 $4.00, Amazon S3 $0.1000); booked "
                    f"here in these days: $3.00, $1.10 too little (27%); {LAG}")
    assert "$0.9000 too much" in bill_lines(reconcile(bill, [entry(5, 5 * USD)]))[0]
    assert "$4.10, the same;" in bill_lines(reconcile(bill, [entry(5, bill.billed)]))[0]


def test_a_tag_that_nobody_activated_is_said() -> None:
    empty = Bill(**DAYS)  # type: ignore[arg-type]
    assert bill_lines(reconcile(empty, [entry(5, USD)]))[1] == NO_TAG
    assert len(bill_lines(reconcile(empty, []))) == 1


def test_a_bill_that_could_not_be_read_says_why_beside_the_older_figures_if_there_are_any() -> None:
    assert bill_lines(reconcile(Bill(**DAYS, why="AccessDenied: no"), [])) == [  # type: ignore[arg-type]
        "the bill of AWS could not be read: AccessDenied: no"]
    older = Bill(**DAYS, by_service={"Amazon EC2": USD}, why="AccessDenied: no")  # type: ignore[arg-type]
    assert len(bill_lines(reconcile(older, []))) == 2


def test_a_lab_without_an_account_says_nothing_of_bills() -> None:
    assert reconcile(None, [entry(5, USD)]) is None
    assert bill_lines(None) == []
