"""From a proposal to a worker: approve, pay, send. What is stuck between two of these goes on from there."""

from __future__ import annotations

import structlog

from lab.errors import Refused, Stale
from lab.experiment import Experiment
from lab.ledger import Ledger
from orchestrator.books import Books
from orchestrator.budgeting import training_stops
from orchestrator.messages import Messages
from orchestrator.picture import Picture

log = structlog.get_logger("daemon")


class Dispatch:
    """See the module."""

    def __init__(self, ledger: Ledger, picture: Picture, books: Books, messages: Messages, epoch: int) -> None:
        self._ledger, self._picture, self._books, self._messages = ledger, picture, books, messages
        self._epoch = epoch

    def send(self, *, overridden: bool) -> None:
        """All that may start; where a person has `overridden` the budget's levels, trainings among them."""
        due = [one for one in self._may_start(overridden) if one.state == "proposed" or one.reservation is None]
        for experiment in due:
            try:
                self._send(experiment)
            except Stale:
                raise
            except Refused as refusal:  # cancelled or claimed a moment ago: the next look shows it
                log.info("not dispatched", experiment=experiment.id, why=str(refusal))
        if due:
            self._picture.catch_up()
        self._messages.send_again([one for one in self._may_start(overridden) if one.reservation is not None])

    def _may_start(self, overridden: bool) -> list[Experiment]:
        view, settings = self._picture.view, self._picture.settings
        training_stopped = training_stops(self._books.level(view, settings), overridden)
        return [one for one in view.live.values() if one.state in ("proposed", "queued")
                and not (training_stopped and one.spec.limit is not None)]

    def _send(self, experiment: Experiment) -> None:
        if experiment.state == "proposed":
            self._ledger.approve(experiment.id, epoch=self._epoch, op_id=f"approve.{experiment.id}")
        if experiment.reservation is None and self._books.reserve(experiment, self._picture.view,
                                                                  self._picture.settings):
            self._messages.send(experiment)
