"""The post where no daemon carries it: what waits in the outbox is delivered by whoever finds it lying there."""

from __future__ import annotations

import structlog

from agents.standing import alive, last_heard
from lab.backend import Backend

LEFT_S = 120.0  # a daemon that lives delivers within a second

log = structlog.get_logger("post")


def daemon_lives(backend: Backend, now: float) -> bool:
    lease = backend.ledger.office.lease()
    return bool(alive(lease, last_heard(backend.ledger, lease), now))


def deliver_left(backend: Backend, now: float) -> list[str]:
    """Deliver what no daemon will, or none has; gives the keys. Raises Unavailable."""
    lives, gone = daemon_lives(backend, now), []
    for report in backend.ledger.office.reports(waiting=True):
        if lives and now - report.at < LEFT_S:
            continue
        backend.mailbox.deliver(report)
        backend.ledger.office.delivered(report.key, op_id=f"delivered.{report.key}")
        log.info("delivered", key=report.key)
        gone.append(report.key)
    return gone
