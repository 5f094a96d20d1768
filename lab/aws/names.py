"""What a laboratory's parts are called on an account: each name follows from prefix, account and region alone.

So a laptop needs no look-up, and a new deploy finds what an old one left. The CDK app makes the parts under these
names, the backend opens them; nothing else spells one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.errors import UserError
from lab.experiment import JOB_CLASSES

PREFIX = re.compile(r"[a-z][a-z0-9-]{1,19}")

STACKS = ("network", "data", "lab", "workers", "site", "reporting")  # in the order in which they are deployed

PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}  # of regions; all others are of the partition aws


@dataclass(frozen=True)
class Names:
    """Raises UserError where `prefix` is none that every service takes."""

    prefix: str
    account: str
    region: str

    def __post_init__(self) -> None:
        require_prefix(self.prefix)

    @property
    def table(self) -> str:
        return f"{self.prefix}-ledger"

    @property
    def bucket(self) -> str:
        """Bucket names are one space for all accounts of the world, hence the account's number."""
        return f"{self.prefix}-store-{self.account}-{self.region}"

    @property
    def site(self) -> str:
        """The bucket of the web page."""
        return f"{self.prefix}-site-{self.account}-{self.region}"

    def queue(self, job_class: str) -> str:
        return f"{self.prefix}-{job_class}"

    def dead_queue(self, job_class: str) -> str:
        """Where messages go that were received too often."""
        return f"{self.prefix}-{job_class}-dead"

    @property
    def queues(self) -> tuple[str, ...]:
        return tuple(name for one in JOB_CLASSES for name in (self.queue(one), self.dead_queue(one)))

    @property
    def stacks(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}-{one}" for one in STACKS)

    @property
    def topic(self) -> str:
        return f"{self.prefix}-reports"

    @property
    def topic_arn(self) -> str:
        partition = next((name for start, name in PARTITIONS.items() if self.region.startswith(start)), "aws")
        return f"arn:{partition}:sns:{self.region}:{self.account}:{self.topic}"

    def group(self, role: str) -> str:
        """The Auto Scaling group of the orchestrator, or of a job class's workers."""
        return f"{self.prefix}-{role}"


def require_prefix(prefix: str) -> None:
    if not PREFIX.fullmatch(prefix):
        raise UserError(f"{prefix!r} is no lab's prefix: 2 to 20 lower-case letters, digits and hyphens, "
                        f"the first a letter")
