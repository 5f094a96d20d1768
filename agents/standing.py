"""How the laboratory stands at one look: who runs it, what was said to it, what runs.

On the daemon's own machine its process is there or not. Elsewhere its last heartbeat tells: one that is minutes old is
a dead daemon's. That compares the clocks of two machines, which is good enough for reports, and for no lease.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from agents.data import Lab, Running
from agents.words import duration, moment
from lab.backend import Backend
from lab.control import DaemonLease
from lab.experiment import Experiment
from lab.ledger import Ledger
from lab.settings import Settings

SILENT_S = 300.0  # a heartbeat so old is a dead daemon's; its successor on an account comes within minutes


def stand(backend: Backend, settings: Settings, running: Sequence[Experiment], now: float, final: bool) -> Lab:
    """`final`: the daemon, which asks for this report, is about to leave."""
    ledger, control = backend.ledger, backend.ledger.office.control()
    change, changed_at = ledger.last_change(), _last_change_at(ledger)
    lease = ledger.office.lease()
    heard = last_heard(ledger, lease)
    lives = alive(lease, heard, now)
    dead = lives is False and lease is not None and lease.carried
    return Lab(name=settings.lab.name, address=backend.address, daemon=_daemon(lease, lives, heard, changed_at, now),
               lives=lives, dead_since=heard if dead else None, final=final, held=control.held,
               paused=control.paused, stop=control.stop, change=change,
               override_until=control.override_until if control.override_until > now else 0.0,
               last_change_at=changed_at, settings=control.settings, ideas=len(ledger.office.ideas()),
               running=tuple(_running(ledger, experiment) for experiment in running))


def alive(lease: DaemonLease | None, heard: float | None, now: float) -> bool | None:
    """Whether a daemon lives that was `heard` then; null if one look cannot tell. One that handed its run over counts
    as living for as long as its successor may take to come."""
    if lease is None or not lease.carried:
        return False
    if lease.host != socket.gethostname() or lease.pid <= 0:
        return None if heard is None else now - heard < SILENT_S
    try:
        os.kill(lease.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another person's process: it is there
        return True
    return True


def reserves(ledger: Ledger, now: float) -> bool:
    """Whether a daemon is seen to live, so that it pays ahead for what machines cost: none that handed its run over,
    and none of which one look cannot tell."""
    lease = ledger.office.lease()
    return lease is not None and bool(lease.holder) and alive(lease, last_heard(ledger, lease), now) is True


def last_heard(ledger: Ledger, lease: DaemonLease | None) -> float | None:
    """When the holder last gave a sign of life, by its own wall clock; null where it never did."""
    sign = ledger.office.daemon_sign(lease.epoch) if lease is not None else None
    return sign.at if sign is not None and sign.at else None


def _daemon(lease: DaemonLease | None, lives: bool | None, heard: float | None, changed_at: float | None,
            now: float) -> str:
    quiet = f"the last change is {duration(now - changed_at)} old" if changed_at is not None else "nothing has changed"
    if lease is None:
        return "no daemon has run here yet"
    if lease.goes_on:
        return f"no daemon runs{_since(heard)}, and the next goes on with the run; {quiet}"
    if not lease.holder:
        return f"no daemon runs; {quiet}"
    who = f"daemon {lease.pid} on {lease.host or 'an unnamed machine'}"
    if lives is False:
        return f"{who} is dead{_since(heard)}, though it never left the lab; {quiet}"
    since = f"{who} has held the lab since {moment(lease.since)}; {quiet}"
    return since if lives else f"{since} (from here one look cannot tell whether it lives)"


def _since(heard: float | None) -> str:
    return f" since {moment(heard)}" if heard is not None else ""


def _last_change_at(ledger: Ledger) -> float | None:
    last = ledger.changes(max(ledger.last_change() - 1, 0), limit=1)
    return last[0].at if last else None


def _running(ledger: Ledger, experiment: Experiment) -> Running:
    beat = ledger.beat_of(experiment.id, experiment.fence)
    return Running(id=experiment.id, purpose=experiment.purpose, designer=experiment.designer,
                   phase=beat.phase if beat else "", used_s=beat.used_s if beat else 0.0)
