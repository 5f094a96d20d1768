"""What a deployed lab costs a month while it runs no experiment, line by line, by `benchmarks.price_list`.

    python -m benchmarks.idle_cost

The bar is $25 a month as AWS lists it; what every account has free comes off that. The README shows this very table; a
test holds the two equal, and others hold what is assumed here of the daemon and of the templates to what these do.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.price_list import AS_OF, FREE, REGION, USD

BAR_USD = 25.0
HOURS = 730.0  # of a month
SECONDS = HOURS * 3600

# What an idle lab does. The daemon looks once a second; a look is queries that find nothing.
READS_A_ROUND = 3.0
BEATS_EVERY_S = 5.0  # each a read and a write
METRICS = 9  # that the daemon tells each minute while nothing runs: four of its own, and the best so far
ALARMED_METRICS = 30  # that the alarms look at, those of the fleets' scaling among them
GUARD_EVERY_MIN = 10
DEAD_POLLS_A_MIN = 2 * 5 * 3  # Lambda listens to both dead-letter queues, five at a time, for 20 s each
DISK_GB = 16
LOGS_GB = 0.05
STORED_GB = 10.0  # footage and results
LEDGER_GB = 0.1


class Line(NamedTuple):
    """`uses` is how much of each unit of the price list a month takes; `why` what that assumes."""

    what: str
    why: str
    uses: dict[str, float]

    @property
    def listed(self) -> float:
        return sum(count * USD[unit] for unit, count in self.uses.items())

    @property
    def paid(self) -> float:
        return sum(max(count - FREE.get(unit, 0.0), 0.0) * USD[unit] for unit, count in self.uses.items())


def lines() -> tuple[Line, ...]:
    """No unit stands in two of them, or what is free would be taken off twice."""
    guards, reports = HOURS * 60 / GUARD_EVERY_MIN, HOURS
    beats = SECONDS / BEATS_EVERY_S
    reads = SECONDS * READS_A_ROUND + beats
    return (
        Line("orchestrator", "one t4g.micro on demand, day and night, that keeps to a fifth of a core", {
            "t4g.micro hour": HOURS}),
        Line("its address", "public IPv4; a NAT gateway would be $33", {"public IPv4 address hour": HOURS}),
        Line("its disk", f"{DISK_GB} GiB gp3", {"gp3 GB-month": DISK_GB}),
        Line("ledger", "a look a second, a heartbeat every 5 s; 100 MB with point-in-time recovery", {
            "DynamoDB million reads": reads / 1e6, "DynamoDB million writes": beats / 1e6,
            "DynamoDB GB-month": LEDGER_GB, "DynamoDB backup GB-month": LEDGER_GB}),
        Line("store", f"{STORED_GB:g} GB of footage and results", {"S3 GB-month": STORED_GB}),
        Line("queues, topic", "asked each minute how much waits, dead letters listened to; a mail every hour", {
            "SQS million requests": HOURS * 60 * (2 + DEAD_POLLS_A_MIN) / 1e6, "SNS thousand mails": reports / 1000}),
        Line("alarms", "by the metrics that they look at, the fleets' scaling among them", {
            "CloudWatch alarm": ALARMED_METRICS}),
        Line("metrics", "what the daemon tells each minute while nothing runs", {"CloudWatch metric": METRICS}),
        Line("dashboard, logs", "one; 50 MB a month", {"CloudWatch dashboard": 1, "CloudWatch logs GB": LOGS_GB}),
        Line("functions", "guard every 10 minutes, report every hour", {
            "Lambda million requests": (guards + reports) / 1e6, "Scheduler million calls": (guards + reports) / 1e6,
            "Lambda Arm GB-second": guards * 3 * 0.5 + reports * 15 * 1.0}),
        Line("bill", "read once a day", {"Cost Explorer request": 31}),
        Line("page", "3,000 requests", {"CloudFront ten thousand requests": 0.3}),
    )


def table() -> str:
    """Markdown: each line with its assumption, as AWS lists it and as it is paid."""
    rows = [f"| {one.what} | {one.why} | {one.listed:.2f} | {one.paid:.2f} |" for one in lines()]
    paid = sum(one.paid for one in lines())
    return "\n".join(("| idle, a month | assumed | list, $ | paid, $ |", "|---|---|--:|--:|", *rows,
                      f"| **all** | {REGION}, prices of {AS_OF} | **{listed_usd():.2f}** | **{paid:.2f}** |"))


def listed_usd() -> float:
    return sum(one.listed for one in lines())


def main() -> None:
    print(table())
    print(f"bar: ${listed_usd():.2f} of at most ${BAR_USD:g}: {'met' if listed_usd() <= BAR_USD else 'MISSED'}")


if __name__ == "__main__":
    main()
