"""Through which stages the run goes, as `orchestrator/stages.py` decides them, and how it begins to end."""

from __future__ import annotations

import structlog

from lab.clock import Clock
from lab.ledger import Ledger
from orchestrator.attempts import Attempts
from orchestrator.books import Books
from orchestrator.champion import SETTLED, Lead, champion, leader, worth_confirming
from orchestrator.picture import Picture
from orchestrator.proposals import Proposals
from orchestrator.seat import Seat
from orchestrator.stages import Decision, Situation, Stage, decide

log = structlog.get_logger("daemon")


class Course:
    """See the module. `why` says what ended the run; `ending` is the last change that we knew of when it began to."""

    def __init__(self, ledger: Ledger, picture: Picture, clock: Clock, seat: Seat, lead: Lead, books: Books,
                 attempts: Attempts, proposals: Proposals) -> None:
        self._ledger, self._picture, self._clock, self._seat, self._lead = ledger, picture, clock, seat, lead
        self._books, self._attempts, self._proposals = books, attempts, proposals
        self.stage: Stage = "explore"
        self.why = ""
        self.ending = 0
        self._before = seat.ending  # until we have decided ourselves

    @property
    def overridden(self) -> bool:
        """Whether a person has said that the levels of the budget do not count now. Its caps always do."""
        return self._picture.view.control.override_until > self._clock.wall()

    def advance(self) -> None:
        decision, before = decide(self._situation()), self._before
        self._before = 0
        if decision.stage == self.stage:
            return
        log.info("stage", now=decision.stage, why=decision.why)
        self.stage, self.why = decision.stage, decision.why or self.why
        if decision.stage == "drain":
            self._drain(decision, before)

    def _drain(self, decision: Decision, before: int) -> None:
        """No new work. Running attempts may be handed back: they go on in a later run. What was said since the run
        began to end under the daemon before us is still to be heard."""
        self.ending = before or self._picture.view.change
        self._books.free_waiting(self._picture.view)
        if decision.release:
            self._attempts.release(self.why)

    def _situation(self) -> Situation:
        view, settings = self._picture.view, self._picture.settings
        limits, ahead, believed = settings.limits, leader(view), champion(view)
        running, exploring = view.running(), any(e.purpose == "explore" for e in view.live.values())
        in_sight = ahead is not None and ahead.meets and self._lead.unbeaten(view, ahead) >= SETTLED
        return Situation(
            stage=self.stage, elapsed_s=self._seat.ran_s, minutes=limits.minutes,
            control=view.control, level=self._books.level(view, settings), override=self.overridden,
            starved=self._books.starved and not running and not view.used,
            quota_done=not self._proposals.quota_left and not exploring,
            exhausted=self._proposals.planner.exhausted and not exploring and not view.ideas,
            goal_reached=limits.stop_at_goal and believed is not None and believed.meets,
            goal_in_sight=limits.stop_at_goal and in_sight,
            confirmed=not worth_confirming(view, ahead, 0, exploring=False), running=len(running),
            live=len(view.live), faults=tuple(view.faults))
