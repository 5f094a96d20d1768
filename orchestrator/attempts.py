"""The running attempts: the daemon alone ends their leases, for silence or because the run ends."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from lab.clock import Clock
from lab.errors import Stale
from lab.experiment import Ending, Experiment
from lab.ledger import Ledger
from orchestrator.budgeting import terms_of
from orchestrator.leases import LeaseWatch, Seen
from orchestrator.picture import Picture

log = structlog.get_logger("daemon")


class Attempts:
    """See the module. `show_life` raises Stale if another daemon has taken over."""

    def __init__(self, ledger: Ledger, picture: Picture, clock: Clock, epoch: int,
                 show_life: Callable[[], None]) -> None:
        self._ledger, self._picture, self._now, self._epoch = ledger, picture, clock.monotonic, epoch
        self._show_life = show_life
        self._watch, self._next_look = LeaseWatch(), 0.0

    def watch_anew(self) -> None:
        self._watch, self._next_look = LeaseWatch(), 0.0

    def end_silent(self) -> None:
        """Those whose worker was not heard for a whole lease time. We look as often as they beat, and within a quarter
        of each lease."""
        if self._now() < self._next_look:
            return
        view, settings = self._picture.view, self._picture.settings
        running = view.running()
        beats = self._ledger.beats({experiment.id: experiment.fence for experiment in running})
        leases = {experiment.id: terms_of(experiment.attempts[-1], settings).lease_s for experiment in running}
        attempts = [Seen(experiment.id, experiment.fence, beats[experiment.id].n if experiment.id in beats else 0,
                         leases[experiment.id]) for experiment in running]
        self._next_look = self._now() + min([settings.limits.beat_s, *(lease_s / 4 for lease_s in leases.values())])
        for silent in self._watch.silent(attempts, self._now()):
            log.info("lease ended for silence", experiment=silent.experiment, fence=silent.fence)
            self._end(view.live[silent.experiment], "lost", "no heartbeat for a lease time")

    def release(self, why: str) -> None:
        """Hand all back: they go on in a later run."""
        for experiment in self._picture.view.running():
            self._end(experiment, "released", why)

    def _end(self, experiment: Experiment, ending: Ending, why: str) -> None:
        """Billed from its last reported use to the end of its lease. A worker that was quicker wins."""
        id, fence = experiment.id, experiment.fence
        beat, terms = self._ledger.beat_of(id, fence), terms_of(experiment.attempts[-1], self._picture.settings)
        used = (beat.used_s if beat else 0.0) + terms.lease_s + terms.grace_s
        try:
            self._ledger.release(id, fence, ending, used_s=used, epoch=self._epoch, op_id=f"{id}.{fence}.{ending}",
                                 detail=why)
        except Stale:
            self._show_life()  # to learn whether it is our epoch that is stale
