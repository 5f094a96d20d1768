"""The post where no daemon carries it: what waits in the outbox is delivered by whoever finds it lying there."""

from __future__ import annotations

import structlog

from agents.standing import alive, last_heard
from lab.backend import Backend
from lab.errors import AetherError

LEFT_S = 120.0  # a daemon that lives delivers within a second

log = structlog.get_logger("post")


def daemon_lives(backend: Backend, now: float) -> bool:
    lease = backend.ledger.office.lease()
    return bool(alive(lease, last_heard(backend.ledger, lease), now))


def deliver_left(backend: Backend, now: float) -> list[str]:
    """Deliver what no daemon will, or none has; gives the keys. One that is refused holds up no other: the last such
    error is raised when all were tried."""
    lives, gone = daemon_lives(backend, now), list[str]()
    failed: AetherError | None = None
    for report in backend.ledger.office.reports(waiting=True):
        if lives and now - report.at < LEFT_S:
            continue
        try:
            backend.mailbox.deliver(report)
            backend.ledger.office.delivered(report.key, op_id=f"delivered.{report.key}")
        except AetherError as error:
            log.warning("not delivered", key=report.key, why=str(error))
            failed = error
        else:
            log.info("delivered", key=report.key)
            gone.append(report.key)
    if failed is not None:
        raise failed
    return gone
