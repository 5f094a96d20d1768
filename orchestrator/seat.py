"""The daemon's lease: taken, kept by heartbeats, and left to the next.

It is taken where nobody holds it, or where its holder stood still for a whole lease time under our eyes. The heartbeats
also tell how long the run has lasted, for whoever carries it on.
"""

from __future__ import annotations

from typing import Any

from lab.clock import Clock
from lab.control import Run
from lab.errors import LabHeld
from lab.office import Office
from orchestrator.given import DaemonConfig


class Seat:
    """See the module. `epoch` is ours, or 0 while we hold no lease; `beats` counts the heartbeats that the ledger has
    taken; `run` is the one that we carry, and `ending` the last change before it began to end under those before us, or
    0."""

    def __init__(self, config: DaemonConfig, office: Office, clock: Clock) -> None:
        self._config, self._office, self._now = config, office, clock.monotonic
        self.epoch = self.beats = self.ending = self._sent = 0
        self.run = Run(key=0, explored=0)
        self._started = self._next_beat = self._ran_before_s = 0.0
        self._watched: tuple[tuple[int, int], float] | None = None

    # ------------------------------------------------------------------ taking it

    @property
    def watches(self) -> bool:
        """Whether only its silence can prove that another daemon is dead."""
        return self._config.wait and self._config.observed is None

    def watch_anew(self) -> None:
        self._watched = None

    def take(self, lease_s: float) -> bool:
        """Become the lab's daemon; false while another may live and we wait. Raises LabHeld where we do not."""
        observed = self._observed(lease_s) if self.watches else self._config.observed
        try:
            self.epoch = self._office.take_lease(
                self._config.holder, host=self._config.host, pid=self._config.pid, observed=observed,
                op_id=f"lease.{self._config.holder}")
        except LabHeld:
            if not self._config.wait:
                raise
            return False
        self._started = self._next_beat = self._now()
        return True

    def _observed(self, lease_s: float) -> tuple[int, int] | None:
        """The holder's heartbeat, once it has stood still for a whole lease time."""
        lease = self._office.lease()
        if lease is None:
            return None
        beat = (lease.epoch, self._office.daemon_beat(lease.epoch))
        if self._watched is None or self._watched[0] != beat:
            self._watched = (beat, self._now())
        return beat if self._now() - self._watched[1] >= lease_s else None

    # ------------------------------------------------------------------ the run that it carries

    def begin(self, explored: int) -> None:
        """Go on with the run of those before us, or begin one after so many explored experiments."""
        self.run = self._office.begin_run(explored, epoch=self.epoch, op_id=f"begin.{self.epoch}")
        lease = self._office.lease()
        self.ending = lease.ending if lease is not None else 0
        carried = self._office.last_sign(self.run.key, self.epoch)
        self._ran_before_s = carried.used_s if carried is not None else 0.0

    def down_since(self) -> float | None:
        """Since when (wall clock) nobody has lived here, where the run was another's before and had not ended."""
        lease, last = self._office.lease(), self._office.daemon_sign(self.epoch - 1)
        return last.at if lease is not None and lease.broke_off and last is not None else None

    @property
    def ran_s(self) -> float:
        """How long the run has lasted, under all the daemons that carried it."""
        return self._ran_before_s + self._now() - self._started

    # ------------------------------------------------------------------ keeping it, and leaving

    def beat(self, every_s: float, paid: dict[str, Any]) -> None:
        """A heartbeat where one is due. Raises Stale if another daemon has taken over."""
        if self._now() >= self._next_beat:
            self._sent += 1
            self.show_life(paid)
            self.beats = self._sent
            self._next_beat = self._now() + every_s

    def show_life(self, paid: dict[str, Any]) -> None:
        """The last heartbeat again, with what is `paid` by now. Raises Stale if another daemon has taken over."""
        self._office.beat_daemon(self.epoch, self._sent, self.ran_s, paid)

    def leave(self, ending: int) -> None:
        """The run is over, and began to end after the change `ending`."""
        self._office.leave_lease(self.epoch, ending=ending, op_id=f"leave.{self.epoch}")

    def hand_over(self, ending: int) -> None:
        """The run goes on with the next daemon, to its end if it has begun to end after the change `ending`."""
        self._office.leave_lease(self.epoch, ending=ending, goes_on=True, op_id=f"hand_over.{self.epoch}")
