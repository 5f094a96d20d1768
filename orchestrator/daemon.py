"""The daemon: one reconcile loop over `changes(since)` that keeps the lab going until a goal, a limit or a word.

A state machine: `step()` does one bounded round and gives the seconds until the next. Each round follows the changes
(journal first), settles what ended, ends silent leases, judges, plans, pays before it dispatches, sends again what
waits without a message, and reports on the hour. Everything that it knows can be rebuilt from the ledger, every write
carries its epoch, and every op_id is made of what it is about, so a daemon that is killed anywhere goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import msgspec
import structlog

from agents.words import moment
from lab.backend import Backend
from lab.clock import Clock
from lab.control import Run
from lab.errors import AetherError, Duplicate, LabHeld, NotFound, Refused, SettingsError, Stale, Unavailable
from lab.experiment import Ending, Experiment
from lab.local.journal import Journal
from lab.market import Market
from lab.settings import Settings, goals_of, require_metrics
from lab.track import Track
from orchestrator.books import Books
from orchestrator.budgeting import terms_of, training_stops
from orchestrator.champion import SETTLED, Standing, champion, leader, refuted, worth_confirming
from orchestrator.designers.protocol import Budget
from orchestrator.leases import LeaseWatch, Seen
from orchestrator.messages import Messages
from orchestrator.planner import ClipSets, Planner
from orchestrator.post import Post, Reporter
from orchestrator.proposer import Proposer
from orchestrator.stages import Decision, Situation, Stage, decide
from orchestrator.view import View

RETRY_S = 1.0  # after the backend could not be reached
ROUND = 200  # changes followed in one round
PROPOSALS = 4  # new experiments in one round, so that a round stays short
LAST_REPORT_S = 60.0  # how long the end waits for its report before the daemon leaves without it

log = structlog.get_logger("daemon")


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True):
    holder: str  # unique to this process
    host: str = ""
    pid: int = 0
    seed: int | None = None  # seeded mode: the same proposals whatever happens on the way
    study_seed: int = 0  # without one: where this lab's designers start
    wait: bool = False  # wait for another daemon's lease to run out, instead of refusing
    observed: tuple[int, int] | None = None  # a heartbeat that is known to be a dead daemon's
    tick_s: float = 0.2  # between rounds; a finished experiment is seen within it
    workers: int = 1  # that may come at least, where more than the settings say
    asking_s: float = inf  # the same while a designer is asked, if that is shorter


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon is given: the parts that the simulator replaces."""

    backend: Backend
    track: Track
    proposer: Proposer
    reporter: Reporter
    clips: ClipSets
    clock: Clock
    parse: Callable[[str], Settings]
    journal: Journal | None = None
    market: Market | None = None  # of what machines cost; without one the settings say it


def signal_op(epoch: int, signal: int) -> str:
    """Under which a daemon writes that it was told to go."""
    return f"signal.{epoch}.{signal}"


class Daemon:
    """See the module. `why` says what ended the run; `lost` is set when another daemon has taken over, `handed_over`
    when it was to; `beats` counts the heartbeats that the ledger has taken."""

    def __init__(self, config: DaemonConfig, settings: Settings, around: Surroundings) -> None:
        self._config, self._settings, self._around = config, settings, around
        self._ledger, self._backend = around.backend.ledger, around.backend
        self._now = around.clock.monotonic
        self.stage: Stage = "explore"
        self.why = self.lost = ""
        self.left = self.handed_over = False
        self.beats = 0
        self._epoch = self._beats = self._revision = 0
        self._started = self._next_beat = self._ran_before_s = 0.0
        self._watched: tuple[tuple[int, int], float] | None = None
        self._messages = Messages(around.backend.queues, self._now)
        self._pending: Experiment | None = None  # proposed to the ledger, which has not answered yet
        self._leading = ("", 0)  # the leader, and how many experiments had ended when it took the lead
        self._run = Run(key=0, explored=0)
        self._done_at: float | None = None
        self._ending = 0  # the last change that we knew of when the run began to end
        self._ready = self._begun = False
        self._override = 0.0  # until when, as last told
        self._held = ""  # why the budget guard holds the lab, as last told
        self._signal = 0  # the number of one that told us to stop, until the ledger knows
        self._goes = False  # told to hand over

    @property
    def over(self) -> bool:
        return self.left or bool(self.lost)

    @property
    def epoch(self) -> int:
        """Ours, or 0 while we hold no lease."""
        return self._epoch

    @property
    def view(self) -> View:
        return self._view

    def step(self) -> float:
        """One round; gives the seconds until the next is due. Raises LabHeld if another daemon holds the lab."""
        try:
            if not self._epoch:
                return self._take_lease()
            if not self._ready:
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
        observed = self._config.observed
        if self._config.wait and observed is None:
            observed = self._observe()
        try:
            self._epoch = self._ledger.office.take_lease(
                self._config.holder, host=self._config.host, pid=self._config.pid, observed=observed,
                op_id=f"lease.{self._config.holder}")
        except LabHeld:
            if not self._config.wait:
                raise
            return self._settings.limits.beat_s
        self._started = self._next_beat = self._now()
        return 0.0

    def _observe(self) -> tuple[int, int] | None:
        """The holder's heartbeat, once it has stood still for a whole lease time under our eyes. The holder follows
        what is pushed, and so do we while we wait."""
        revision = self._ledger.office.control().settings
        if revision != self._revision:
            self._adopt(revision)
            self._watched = None
        lease = self._ledger.office.lease()
        if lease is None:
            return None
        beat = (lease.epoch, self._ledger.office.daemon_beat(lease.epoch))
        if self._watched is None or self._watched[0] != beat:
            self._watched = (beat, self._now())
        return beat if self._now() - self._watched[1] >= self._settings.limits.lease_s else None

    def _rebuild(self) -> None:
        """Everything that we know, from the ledger: at the start, and when the settings have changed."""
        if not self._begun:  # what was pushed is the whole truth, and newer than what we were given if we had to wait
            self._adopt(self._ledger.office.control().settings)
        goals = goals_of(self._settings, self._around.track)
        self._view = View(self._around.track, goals, self._around.clips.explore)
        self._view.load(self._ledger)
        if not self._begun:
            self._first_look()
        self._planner = Planner(self._view, self._ledger, self._around.proposer, self._around.clips, self._settings,
                                goals, self._config.seed, self._config.study_seed)
        self._leases = LeaseWatch()
        self._catch_up_journal()
        self._ready = True

    def _first_look(self) -> None:
        """What belongs to this run alone."""
        self._run = self._ledger.office.begin_run(len(self._view.explored), epoch=self._epoch,
                                                  op_id=f"begin.{self._epoch}")
        self._books = Books(self._ledger, self._around.clock, self._epoch, self._run.key, self._around.market)
        self._post = Post(self._backend, self._around.reporter, self._around.clock)
        self._look_back()
        if self._around.journal is not None:
            self._around.journal.open()
        if self._view.control.stop and self._run.key == self._epoch:  # said to an earlier run, which this is not
            self._ledger.office.set_control(stop="", op_id=f"go.{self._epoch}")
            self._view.control = self._ledger.office.control()
        self._begun = True

    def _look_back(self) -> None:
        """What the daemons before us leave behind: how long the run has lasted, and hours that nobody reported."""
        office = self._ledger.office
        carried = office.last_sign(self._run.key, self._epoch)
        self._ran_before_s = carried.used_s if carried is not None else 0.0
        lease, last = office.lease(), office.daemon_sign(self._epoch - 1)
        if lease is not None and lease.broke_off and last is not None and self._settings.report.hourly:
            self._post.was_down(last.at)

    # ------------------------------------------------------------------ a round

    def _round(self) -> float:
        self._beat()
        if self._signal:
            self._ledger.office.set_control(stop="now", op_id=signal_op(self._epoch, self._signal))
            self._signal = 0
        if self._follow():  # never decide on an old picture
            return 0.0
        self._books.settle_ended(self._view, self._settings)
        self._end_silent_leases()
        if self.stage != "done":
            self._books.pay_overhead(self._view, self._settings)
            self._books.reconcile()
            self._advance()
        if self.stage in ("explore", "confirm") and not (self._view.control.paused or self._view.control.held):
            self._call_off()
            self._plan()
            self._dispatch()
        if self._settings.report.hourly:
            self._post.hour()
        self._post.work(self._view)
        if self.stage == "done":
            return self._leave()
        if self._goes:
            return self._hand_over()
        return min(self._config.tick_s, self._config.asking_s) if self._around.proposer.busy else self._config.tick_s

    def _beat(self) -> None:
        if self._now() >= self._next_beat:
            self._beats += 1
            self._show_life()
            self.beats = self._beats
            self._next_beat = self._now() + self._settings.limits.beat_s

    def _show_life(self) -> None:
        """Raises Stale if another daemon has taken over."""
        self._ledger.office.beat_daemon(self._epoch, self._beats, self._ran_s, self._books.paid())

    @property
    def _ran_s(self) -> float:
        """How long the run has lasted, under all the daemons that carried it."""
        return self._ran_before_s + self._now() - self._started

    def _follow(self) -> bool:
        """Take in new changes, the journal first; whether there may be more."""
        changes = self._ledger.changes(self._view.change, ROUND)
        if self._around.journal is not None:
            self._around.journal.append(changes)
        for change in changes:
            self._view.apply(change)
            if change.subject in self._view.ended:
                self._planner.ended(change.subject)
        if self._view.control.settings != self._revision:
            self._adopt(self._view.control.settings)
            self._ready = False
        self._hear_override()
        self._hear_guard()
        return len(changes) == ROUND

    def _hear_override(self) -> None:
        until = self._view.control.override_until
        if until != self._override:
            log.warning("the budget's levels", why=f"a person has overridden them until {moment(until)}" if until else
                        "a person has taken the override back")
            self._override = until

    def _hear_guard(self) -> None:
        held = self._view.control.held
        if held != self._held:
            log.warning("the budget guard", holds=held or "no longer")
            self._held = held

    def _catch_up_journal(self) -> None:
        journal = self._around.journal
        while journal is not None and journal.last < self._view.change:
            journal.append(self._ledger.changes(journal.last, ROUND))

    def _catch_up(self) -> None:
        """See our own writes at once: the next number and the places in flight depend on them."""
        while self._follow():
            pass

    def _adopt(self, revision: int) -> None:
        """Take the settings of this revision from now on, if there are any and they are sound."""
        pushed = self._ledger.office.settings(revision)
        try:
            if pushed is not None:
                settings = self._around.parse(pushed.text)
                require_metrics(settings, self._around.track)
                self._settings = settings
                log.info("settings", revision=revision)
        except (SettingsError, NotFound) as error:
            log.warning("pushed settings are not sound; going on with the old ones", why=str(error))
        self._revision = revision

    def _end_silent_leases(self) -> None:
        attempts, running = [], self._view.running()
        beats = self._ledger.beats({experiment.id: experiment.fence for experiment in running})
        for experiment in running:
            beat = beats.get(experiment.id)
            lease_s = terms_of(experiment.attempts[-1], self._settings).lease_s
            attempts.append(Seen(experiment.id, experiment.fence, beat.n if beat else 0, lease_s))
        for silent in self._leases.silent(attempts, self._now()):
            log.info("lease ended for silence", experiment=silent.experiment, fence=silent.fence)
            self._end_lease(self._view.live[silent.experiment], lost=True)

    def _end_lease(self, experiment: Experiment, *, lost: bool) -> None:
        """Billed from its last reported use to the end of its lease. A worker that was quicker wins."""
        id, fence = experiment.id, experiment.fence
        beat, terms = self._ledger.beat_of(id, fence), terms_of(experiment.attempts[-1], self._settings)
        used = (beat.used_s if beat else 0.0) + terms.lease_s + terms.grace_s
        ending: Ending = "lost" if lost else "released"
        try:
            self._ledger.release(id, fence, ending, used_s=used, epoch=self._epoch, op_id=f"{id}.{fence}.{ending}",
                                 detail="no heartbeat for a lease time" if lost else self.why)
        except Stale:
            self._show_life()  # to learn whether it is our epoch that is stale

    # ------------------------------------------------------------------ stages

    def _advance(self) -> None:
        decision = decide(self._situation())
        if decision.stage == self.stage:
            return
        log.info("stage", now=decision.stage, why=decision.why)
        self.stage, self.why = decision.stage, decision.why or self.why
        if decision.stage == "drain":
            self._drain(decision)
        elif decision.stage == "done":
            self._done_at = self._now()
            self._post.ask(f"end-{self._epoch}", self.why)

    def _situation(self) -> Situation:
        limits, ahead, believed = self._settings.limits, leader(self._view), champion(self._view)
        running, exploring = self._view.running(), self._exploring()
        in_sight = ahead is not None and ahead.meets and self._unbeaten(ahead) >= SETTLED
        return Situation(
            stage=self.stage, elapsed_s=self._ran_s, minutes=limits.minutes,
            control=self._view.control, level=self._books.level(self._view, self._settings),
            override=self._overridden,
            starved=self._books.starved and not running and not self._view.used,
            quota_done=not self._quota_left() and not exploring,
            exhausted=self._planner.exhausted and not exploring and not self._ledger.office.ideas(),
            goal_reached=limits.stop_at_goal and believed is not None and believed.meets,
            goal_in_sight=limits.stop_at_goal and in_sight,
            confirmed=not worth_confirming(self._view, ahead, 0, exploring=False), running=len(running),
            live=len(self._view.live), faults=tuple(self._view.faults))

    def _drain(self, decision: Decision) -> None:
        """No new work. Running attempts may be handed back: they go on in a later run."""
        self._ending = self._view.change
        self._books.free_waiting(self._view)
        if decision.release:
            for experiment in self._view.running():
                self._end_lease(experiment, lost=False)

    @property
    def _overridden(self) -> bool:
        """Whether a person has said that the levels of the budget do not count now. Its caps always do."""
        return self._view.control.override_until > self._around.clock.wall()

    def _exploring(self) -> bool:
        return any(experiment.purpose == "explore" for experiment in self._view.live.values())

    def _unbeaten(self, ahead: Standing) -> int:
        """How many experiments have ended since the present leader leads."""
        if ahead.id != self._leading[0]:
            self._leading = (ahead.id, len(self._view.ended))
        return len(self._view.ended) - self._leading[1]

    def _quota_left(self) -> bool:
        quota = self._settings.limits.experiments
        return quota is None or len(self._view.explored) - self._run.explored < quota

    # ------------------------------------------------------------------ planning and dispatch

    def _plan(self) -> None:
        """Fill the places in flight with what is wanted most: one for each worker, and one that waits."""
        workers = max(self._settings.limits.workers, self._config.workers)
        for _ in range(PROPOSALS):
            if self._pending is None and len(self._view.live) <= workers:
                self._pending = self._wanted()
            if self._pending is None:
                return
            self._propose(self._pending)

    def _call_off(self) -> None:
        """Confirmations that wait, of what another has refuted: they would cost money and tell nothing."""
        for experiment in list(self._view.live.values()):
            waits = experiment.purpose == "confirm" and experiment.state != "running"
            if not (waits and refuted(self._view, experiment.spec.recipe())):
                continue
            try:
                self._ledger.cancel(experiment.id, "its candidate is refuted", epoch=self._epoch,
                                    op_id=f"refuted.{experiment.id}")
                log.info("a confirmation was called off", experiment=experiment.id, candidate=experiment.group)
            except Stale:
                raise
            except Refused:  # a worker claimed it a moment ago: it goes on to its end
                continue
            self._catch_up()

    def _wanted(self) -> Experiment | None:
        ahead = leader(self._view)
        exploring = self.stage == "explore"
        if ahead is not None and worth_confirming(self._view, ahead, self._unbeaten(ahead), exploring):
            confirmation = self._planner.confirmation(ahead.id)
            if confirmation is not None:
                return confirmation
        if exploring:
            self._take_ideas()
        if len(self._view.anchor_ids) < len(self._view.explored):  # a first result first, then one of each in turn
            anchor = self._planner.anchor()
            if anchor is not None:
                return anchor
        return self._planner.explore(self._left()) if exploring and self._quota_left() else None

    def _left(self) -> Budget:
        quota = self._settings.limits.experiments
        done = len(self._view.explored) - self._run.explored
        return Budget(experiments=None if quota is None else quota - done)

    def _take_ideas(self) -> None:
        """Propose what people asked for. What cannot be run is said and put aside."""
        for idea in self._ledger.office.ideas():
            try:
                experiment = self._planner.idea(idea)
                self._ledger.propose(experiment, epoch=self._epoch, op_id=f"idea.{idea.key}")
                self._planner.started(experiment)
            except (Stale, Unavailable):
                raise
            except AetherError as error:
                log.warning("an idea cannot be run", idea=idea.key, why=str(error))
            self._ledger.office.take_idea(idea.key, epoch=self._epoch, op_id=f"taken.{idea.key}")
            self._catch_up()

    def _propose(self, experiment: Experiment) -> None:
        """If the ledger cannot be reached this raises, and the same proposal is made again in a later round."""
        try:
            self._ledger.propose(experiment, epoch=self._epoch,
                                 op_id=f"propose.{experiment.id}.{experiment.fingerprint[:16]}")
            self._planner.started(experiment)
        except Stale:
            raise
        except Duplicate as duplicate:
            if experiment.purpose == "confirm":  # a person asked for the very same run: it says as much
                self._view.see_confirmation(self._ledger.experiment(duplicate.original))
            else:
                self._planner.duplicate(duplicate.original)
        except Refused as refusal:  # its number was taken meanwhile; what designers want, they propose again
            log.warning("a proposal was refused", experiment=experiment.id, why=str(refusal))
        self._pending = None
        self._catch_up()

    def _dispatch(self) -> None:
        """Approve, pay, send. What is stuck between two of these goes on from there."""
        for experiment in self._may_start():
            try:
                self._dispatch_one(experiment)
            except Stale:
                raise
            except Refused as refusal:  # cancelled or claimed a moment ago: the next look shows it
                log.info("not dispatched", experiment=experiment.id, why=str(refusal))
        self._catch_up()
        self._messages.send_again([one for one in self._may_start() if one.reservation is not None])

    def _may_start(self) -> list[Experiment]:
        training_stopped = training_stops(self._books.level(self._view, self._settings), self._overridden)
        return [one for one in self._view.live.values() if one.state in ("proposed", "queued")
                and not (training_stopped and one.spec.limit is not None)]

    def _dispatch_one(self, experiment: Experiment) -> None:
        if experiment.state == "proposed":
            self._ledger.approve(experiment.id, epoch=self._epoch, op_id=f"approve.{experiment.id}")
        if experiment.reservation is None and self._books.reserve(experiment, self._view, self._settings):
            self._messages.send(experiment)

    # ------------------------------------------------------------------ the end

    def _leave(self) -> float:
        """The last report is out and the books are closed: give the lab back."""
        waited = self._now() - (self._done_at or 0.0)
        if not self._post.idle and waited < LAST_REPORT_S:
            return self._config.tick_s
        self._books.settle_overhead(self._view)
        self._catch_up()
        self._ledger.office.leave_lease(self._epoch, ending=self._ending, op_id=f"leave.{self._epoch}")
        self._catch_up()  # so that the journal of a lab at rest is complete
        return self._gone()

    def _hand_over(self) -> float:
        """The hour is paid up to now, and the last heartbeat tells how long the run has lasted."""
        self._books.settle_overhead(self._view)
        self._show_life()
        self._catch_up()
        self._ledger.office.leave_lease(self._epoch, goes_on=True, op_id=f"hand_over.{self._epoch}")
        if self._around.journal is not None:
            self._catch_up()
        return self._gone(handed_over=True)

    def _gone(self, *, handed_over: bool = False) -> float:
        self.left, self.handed_over = True, handed_over
        self._around.proposer.close()
        return 0.0
