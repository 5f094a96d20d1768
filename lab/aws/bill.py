"""What AWS billed a lab, by its tag, from Cost Explorer: a cent a page, and about a day behind.

The tag `aether:lab` counts only once a person has activated it in the account's billing console (cost allocation
tags), and from then on.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from lab.aws.errors import plain_errors
from lab.aws.instances import TAG
from lab.errors import Unavailable
from lab.money import Bill, to_micro

LAG_DAYS = 2  # a day's costs are all told when another has passed


def bill(client: Any, prefix: str, wall: float) -> Bill:
    """Of the month to date, as far as it is told; on the first two days, of the month before. What kept it from being
    read is said in it."""
    last = datetime.fromtimestamp(wall, UTC).date() - timedelta(days=LAG_DAYS)
    first, end = last.replace(day=1), last + timedelta(days=1)
    asked: dict[str, Any] = {
        "TimePeriod": {"Start": first.isoformat(), "End": end.isoformat()}, "Granularity": "MONTHLY",
        "Metrics": ["UnblendedCost"], "Filter": {"Tags": {"Key": TAG, "Values": [prefix]}},
        "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}]}
    try:
        return Bill(first=first.isoformat(), end=end.isoformat(), at=wall, by_service=_by_service(client, asked))
    except Unavailable as error:
        return Bill(first=first.isoformat(), end=end.isoformat(), at=wall, why=str(error))


def _by_service(client: Any, asked: dict[str, Any]) -> dict[str, int]:
    found: dict[str, float] = {}
    page: dict[str, Any] = {}
    while True:
        with plain_errors("Cost Explorer"):
            answer = client.get_cost_and_usage(**asked, **page)
        for period in answer["ResultsByTime"]:
            for group in period.get("Groups", []):
                name, cost = group["Keys"][0], float(group["Metrics"]["UnblendedCost"]["Amount"])
                found[name] = found.get(name, 0.0) + cost
        if not answer.get("NextPageToken"):
            return {name: to_micro(dollars) for name, dollars in sorted(found.items())}
        page = {"NextPageToken": answer["NextPageToken"]}
