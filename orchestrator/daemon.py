"""The daemon: one reconcile loop over `changes(since)` that keeps the lab going until a goal, a limit or a word.

A state machine: `step()` does one bounded round and gives the seconds until the next. Each round follows the changes
(journal first), settles what ended, ends silent leases, judges, plans, pays before it dispatches, sends again what
waits without a message, and reports on the hour. Everything that it knows can be rebuilt from the ledger, every write
carries its epoch, and every op_id is made of what it is about, so a daemon that is killed anywhere goes on from there.
"""

from __future__ import annotations

import structlog

from lab.errors import Stale, Unavailable
from lab.settings import Settings
from orchestrator.attempts import Attempts
from orchestrator.books import Books
from orchestrator.champion import Lead
from orchestrator.course import Course
from orchestrator.dispatch import Dispatch
from orchestrator.given import DaemonConfig, Surroundings
from orchestrator.messages import Messages
from orchestrator.picture import Picture
from orchestrator.places import Places
from orchestrator.planner import Planner
from orchestrator.post import Post
from orchestrator.proposals import Proposals
from orchestrator.seat import Seat
from orchestrator.stages import Stage
from orchestrator.view import View

RETRY_S = 1.0  # after the backend could not be reached
LAST_REPORT_S = 60.0  # how long the end waits for its report before the daemon leaves without it

log = structlog.get_logger("daemon")


def signal_op(epoch: int, signal: int) -> str:
    """Under which a daemon writes that it was told to go."""
    return f"signal.{epoch}.{signal}"


class Daemon:
    """See the module. `lost` is set when another daemon has taken over, `handed_over` when it was to."""

    def __init__(self, config: DaemonConfig, settings: Settings, around: Surroundings) -> None:
        self._config, self._around = config, around
        self._ledger, self._now = around.backend.ledger, around.clock.monotonic
        self._seat = Seat(config, self._ledger.office, around.clock)
        self._picture = Picture(self._ledger, around, settings)
        self.lost = ""
        self.left = self.handed_over = False
        self._begun = False
        self._done_at: float | None = None
        self._signal = 0  # the number of one that told us to stop, until the ledger knows
        self._goes = False  # told to hand over
        self._given_back = False  # or may be: from here on it writes nothing that is a daemon's

    @property
    def over(self) -> bool:
        return self.left or bool(self.lost)

    @property
    def epoch(self) -> int:
        """Ours, or 0 while we hold no lease."""
        return self._seat.epoch

    @property
    def beats(self) -> int:
        """How many heartbeats the ledger has taken."""
        return self._seat.beats

    @property
    def ready(self) -> bool:
        """Whether the view is loaded, and goes by the settings in force."""
        return self._picture.ready

    @property
    def view(self) -> View:
        return self._picture.view

    @property
    def stage(self) -> Stage:
        return self._course.stage if self._begun else "explore"

    @property
    def why(self) -> str:
        """What ended the run."""
        return self._course.why if self._begun else ""

    def step(self) -> float:
        """One round; gives the seconds until the next is due. Raises LabHeld if another daemon holds the lab."""
        try:
            if not self._seat.epoch:
                return self._take_lease()
            if not self._picture.ready:
                self._rebuild()
            return self._round()
        except Stale as error:
            if self._goes:  # whoever has the lab now, the run is theirs
                return self._gone(handed_over=True)
            self.lost = str(error)
            return 0.0
        except Unavailable as error:
            log.warning("backend unavailable", error=str(error))
            return RETRY_S

    def stop_now(self, signal: int) -> None:
        """A person's stop by a signal: written at the next round, and again until the ledger has it."""
        self._signal = signal

    def hand_over(self) -> None:
        """Go at the end of a round and leave the run to the next daemon: workers go on, nothing is released, and no
        report says that it ended. A run that has ended already is left in order."""
        self._goes = True

    # ------------------------------------------------------------------ becoming the daemon

    def _take_lease(self) -> float:
        """The holder follows what is pushed, and so do we while we wait."""
        if self._seat.watches and self._picture.adopt_latest():
            self._seat.watch_anew()
        limits = self._picture.settings.limits
        return 0.0 if self._seat.take(limits.lease_s) else limits.beat_s

    def _rebuild(self) -> None:
        """Everything that we know, from the ledger: at the start, and when the settings have changed."""
        if not self._begun:  # what was pushed is the whole truth, and newer than what we were given if we had to wait
            self._picture.adopt_latest()
        self._picture.load()
        if not self._begun:
            self._first_look()
        planner = Planner(self.view, self._ledger, self._around.proposer, self._around.clips, self._picture.settings,
                          self._picture.goals, self._config.seed, self._config.study_seed,
                          Places(rented=self._around.backend.rented, fleets=self._config.fleets))
        self._picture.ended = planner.ended
        if self._begun:
            self._proposals.planner = planner
            self._attempts.watch_anew()
        else:
            self._make_parts(planner)
        self._picture.catch_up_journal()
        self._picture.ready = True

    def _first_look(self) -> None:
        """What belongs to this run alone."""
        office, seat, around = self._ledger.office, self._seat, self._around
        seat.begin(len(self.view.explored))
        self._books = Books(self._ledger, around.clock, seat.epoch, seat.run.key, around.market, around.tab)
        self._post = Post(around.backend, around.reporter, around.clock)
        since = seat.down_since()
        if since is not None and self._picture.settings.report.hourly:
            self._post.was_down(since)
        if around.journal is not None:
            around.journal.open()
        if self.view.control.stop and seat.run.key == seat.epoch:  # said to an earlier run, which this is not
            office.set_control(stop="", op_id=f"go.{seat.epoch}")
            self.view.control = office.control()

    def _make_parts(self, planner: Planner) -> None:
        ledger, picture, clock, seat, lead = self._ledger, self._picture, self._around.clock, self._seat, Lead()
        self._attempts = Attempts(ledger, picture, clock, seat.epoch, self._show_life)
        self._proposals = Proposals(ledger, picture, seat, lead, planner)
        self._dispatch = Dispatch(ledger, picture, self._books, Messages(self._around.backend.queues, self._now),
                                  seat.epoch)
        self._course = Course(ledger, picture, clock, seat, lead, self._books, self._attempts, self._proposals)
        self._begun = True

    # ------------------------------------------------------------------ a round

    def _round(self) -> float:
        if self._given_back:
            return self._hand_over()
        picture = self._picture
        self._seat.beat(picture.settings.limits.beat_s, self._books.paid())
        if self._signal:
            self._ledger.office.set_control(stop="now", op_id=signal_op(self._seat.epoch, self._signal))
            self._signal = 0
        if picture.follow():  # never decide on an old picture
            return 0.0
        self._books.settle_ended(self.view, picture.settings)
        self._attempts.end_silent()
        if self.stage != "done":
            self._books.pay_overhead(self.view, picture.settings)
            self._books.reconcile()
            self._advance()
        if self.stage in ("explore", "confirm") and not (self.view.control.paused or self.view.control.held):
            self._proposals.call_off()
            self._proposals.fill(max(picture.settings.limits.workers, sum(self._config.fleets.values())),
                                 exploring=self.stage == "explore")
            self._dispatch.send(overridden=self._course.overridden)
        if picture.settings.report.hourly:
            self._post.hour()
        self._post.work(self.view)
        if self.stage == "done":
            return self._leave()
        if self._goes:
            return self._hand_over()
        return min(self._config.tick_s, self._config.asking_s) if self._around.proposer.busy else self._config.tick_s

    def _show_life(self) -> None:
        self._seat.show_life(self._books.paid())

    def _advance(self) -> None:
        self._course.advance()
        if self.stage == "done":
            self._done_at = self._now()
            self._post.ask(f"end-{self._seat.epoch}", self.why)

    # ------------------------------------------------------------------ the end

    def _leave(self) -> float:
        """The last report is out and the books are closed: give the lab back."""
        waited = self._now() - (self._done_at or 0.0)
        if not self._post.idle and waited < LAST_REPORT_S:
            return self._config.tick_s
        self._books.settle_overhead(self.view)
        self._picture.catch_up()
        self._seat.leave(self._course.ending)
        self._picture.catch_up()  # so that the journal of a lab at rest is complete
        return self._gone()

    def _hand_over(self) -> float:
        """The hour is paid up to now, and the last heartbeat tells how long the run has lasted."""
        self._books.settle_overhead(self.view)
        self._show_life()
        self._picture.catch_up()
        self._given_back = True
        self._seat.hand_over(self._course.ending if self.stage == "drain" else 0)
        if self._around.journal is not None:
            self._picture.catch_up()
        return self._gone(handed_over=True)

    def _gone(self, *, handed_over: bool = False) -> float:
        self.left, self.handed_over = True, handed_over
        self._around.proposer.close()
        return 0.0
