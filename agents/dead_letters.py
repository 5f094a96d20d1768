"""Dead letters: what a queue put aside because it was received too often and nobody was done with it.

A message is a hint and the lease is the truth. What runs, or has ended, is left alone: the daemon ends silent leases,
and counts them. What still waits was received again and again without a claim, so whoever receives it goes down
before; it ends as `poison`, once, whether a daemon lives or not.
"""

from __future__ import annotations

import structlog

from lab.errors import NotFound, Refused
from lab.ledger import Ledger

log = structlog.get_logger("dead-letters")


def bury(ledger: Ledger, body: str, received: int) -> bool:
    """End the experiment that the message `body` names, where it is to blame; whether it was. `received` is the queue's
    own count. Raises Unavailable: then the message is to come again."""
    id = body.strip()
    try:
        experiment = ledger.experiment(id)
        if experiment.state != "queued":
            log.info("a dead message of what does not wait", experiment=id, state=experiment.state)
            return False
        ledger.bury(id, f"its message was received {received} times, and nobody came to claim it",
                    claims=experiment.fence, op_id=f"{id}.{experiment.fence}.buried")
    except NotFound:
        log.warning("a dead message that names no experiment", body=body[:200])
        return False
    except Refused as refusal:
        log.info("a dead message that came too late", experiment=id, why=str(refusal))
        return False
    log.warning("poison", experiment=id, received=received)
    return True
