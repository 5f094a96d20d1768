"""Filling the places in flight: what is wanted most goes into the ledger as the next experiment."""

from __future__ import annotations

import structlog

from lab.errors import AetherError, Duplicate, Refused, Stale, Unavailable
from lab.experiment import Experiment
from lab.ledger import Ledger
from orchestrator.champion import Lead, leader, refuted, worth_confirming
from orchestrator.designers.protocol import Budget
from orchestrator.picture import Picture
from orchestrator.planner import Planner
from orchestrator.seat import Seat

AT_ONCE = 4  # new experiments in one round, so that a round stays short

log = structlog.get_logger("daemon")


class Proposals:
    """See the module. `planner` is another after the settings have changed; what it wanted last is still proposed."""

    def __init__(self, ledger: Ledger, picture: Picture, seat: Seat, lead: Lead, planner: Planner) -> None:
        self._ledger, self._picture, self._seat, self._lead = ledger, picture, seat, lead
        self.planner = planner
        self._pending: Experiment | None = None  # proposed to the ledger, which has not answered yet

    def fill(self, workers: int, *, exploring: bool) -> None:
        """One experiment for each worker, and one that waits."""
        for _ in range(AT_ONCE):
            if self._pending is None and len(self._picture.view.live) <= workers:
                self._pending = self._wanted(exploring)
            if self._pending is None:
                return
            self._propose(self._pending)

    def call_off(self) -> None:
        """Confirmations that wait, of what another has refuted: they would cost money and tell nothing."""
        for experiment in list(self._picture.view.live.values()):
            waits = experiment.purpose == "confirm" and experiment.state != "running"
            if not (waits and refuted(self._picture.view, experiment.spec.recipe())):
                continue
            try:
                self._ledger.cancel(experiment.id, "its candidate is refuted", epoch=self._seat.epoch,
                                    op_id=f"refuted.{experiment.id}")
                log.info("a confirmation was called off", experiment=experiment.id, candidate=experiment.group)
            except Stale:
                raise
            except Refused:  # a worker claimed it a moment ago: it goes on to its end
                continue
            self._picture.catch_up()

    @property
    def quota_left(self) -> bool:
        left = self._left().experiments
        return left is None or left > 0

    def _wanted(self, exploring: bool) -> Experiment | None:
        view = self._picture.view
        ahead = leader(view)
        if ahead is not None and worth_confirming(view, ahead, self._lead.unbeaten(view, ahead), exploring):
            confirmation = self.planner.confirmation(ahead.id)
            if confirmation is not None:
                return confirmation
        if exploring:
            self._take_ideas()
        if len(view.anchor_ids) < len(view.explored):  # a first result first, then one of each in turn
            anchor = self.planner.anchor()
            if anchor is not None:
                return anchor
        return self.planner.explore(self._left()) if exploring and self.quota_left else None

    def _left(self) -> Budget:
        quota = self._picture.settings.limits.experiments
        done = len(self._picture.view.explored) - self._seat.run.explored
        return Budget(experiments=None if quota is None else quota - done)

    def _take_ideas(self) -> None:
        """Propose what people asked for. What cannot be run is said and put aside."""
        for idea in sorted(self._picture.view.ideas.values(), key=lambda one: one.key):
            try:
                experiment = self.planner.idea(idea)
                self._ledger.propose(experiment, epoch=self._seat.epoch, op_id=f"idea.{idea.key}")
                self.planner.started(experiment)
            except (Stale, Unavailable):
                raise
            except AetherError as error:
                log.warning("an idea cannot be run", idea=idea.key, why=str(error))
            self._ledger.office.take_idea(idea.key, epoch=self._seat.epoch, op_id=f"taken.{idea.key}")
            self._picture.catch_up()

    def _propose(self, experiment: Experiment) -> None:
        """If the ledger cannot be reached this raises, and the same proposal is made again in a later round."""
        try:
            self._ledger.propose(experiment, epoch=self._seat.epoch,
                                 op_id=f"propose.{experiment.id}.{experiment.fingerprint[:16]}")
            self.planner.started(experiment)
        except Stale:
            raise
        except Duplicate as duplicate:
            if experiment.purpose == "confirm":  # a person asked for the very same run: it says as much
                self._picture.view.see_confirmation(self._ledger.experiment(duplicate.original))
            else:
                self.planner.duplicate(duplicate.original)
        except Refused as refusal:  # its number was taken meanwhile; what designers want, they propose again
            log.warning("a proposal was refused", experiment=experiment.id, why=str(refusal))
        self._pending = None
        self._picture.catch_up()
