"""The worker: takes one experiment at a time, runs its phases, and reports what came out under its lease.

A state machine: `step()` does one bounded piece of work and gives the seconds until it wants to be called again. Clock,
processes, files and the ledger come from outside. What it promises: every write carries its fence; a phase that ended
is not run again; when no heartbeat was acknowledged for lease - grace on its own clock it stops itself, phases and all;
what it was doing is given back at an interruption, and nobody is blamed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from gpu_workers.collect import NotCollected
from gpu_workers.interruption import too_dear
from gpu_workers.job import Job
from gpu_workers.live import Live
from gpu_workers.runner import PhaseEnd, Runner, Running
from gpu_workers.workspace import RESUME, Workspace
from lab.backend import Backend, Message
from lab.clock import Clock
from lab.control import Beat
from lab.errors import Damaged, NotFound, Refused, Stale, Unavailable
from lab.experiment import Checkpoint, Experiment, Machine, Outcome, Reason, Scores, Terms
from lab.judging.goals import judge, succeeded
from lab.objects import read_as
from lab.probe import Probe, silent
from lab.track import Goal, Phase, Track

IDLE_S = 0.2  # between two looks into an empty queue
LISTEN_S = 10.0  # inside one look, where asking costs money; nothing beats meanwhile, since nothing is held
POLL_S = 0.05  # between two looks at a running phase
BARE_S = 3600.0  # for which a phase may leave no checkpoint where the machine may be taken, and the phase be long
RETRY_S = 1.0  # after the backend could not be reached
KEEP_S = 5.0  # for which a worker that was told to go tries to keep its last checkpoint, where nobody gives it longer
SCORES = "scores.json"
DETAIL = 500  # characters of a failure that go into the ledger; the log's end is kept as an artefact

log = structlog.get_logger("worker")


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    device_class: str
    job_classes: tuple[str, ...] = ("cpu",)
    terms: Terms = Terms()  # of attempts that bring none of their own
    machine: Machine | None = None  # where it is a rented one; what it costs follows from it


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is given: the parts that the simulator replaces."""

    backend: Backend
    runner: Runner
    workspace: Callable[[Experiment], Workspace]  # a fresh one for each attempt
    track: Callable[[str], Track]
    goals: Callable[[Experiment], tuple[Goal, ...]]
    clock: Clock
    probe: Probe = silent
    sandboxed: bool | None = None  # whether the runner puts what nobody trusts into boxes; told in the record


class Worker:
    """See the module. One `Worker` runs in one process."""

    def __init__(self, config: WorkerConfig, around: Surroundings) -> None:
        self._config, self._around = config, around
        self._ledger, self._now = around.backend.ledger, around.clock.monotonic
        self._delivery: tuple[str, Message] | None = None
        self._asked = 0.0  # when this delivery was first claimed: the lease may run from there if the reply was lost
        self._job: Job | None = None
        self._interrupted, self._keep_until = "", 0.0
        self._told: dict[str, float] = {}  # how many requests, with the attempts that have ended
        self._spot = config.machine is not None and config.machine.spot

    @property
    def idle(self) -> bool:
        return self._job is None and self._delivery is None

    @property
    def experiment(self) -> str:
        """The one that it works at, or nothing."""
        return self._job.experiment.id if self._job is not None else ""

    @property
    def progress(self) -> dict[str, Any]:
        """What the running phase last claimed of itself."""
        return self._job.progress if self._job is not None else {}

    def interrupt(self, why: str, keep_s: float = KEEP_S) -> None:
        """We were told to go: at the next step the phase is stopped and the work given back. For so long it waits for a
        store that is away, to keep the last checkpoint; then it is given back without."""
        self._interrupted, self._keep_until = why, self._now() + keep_s

    def step(self) -> float:
        """One bounded piece of work; gives the seconds until the next is due."""
        try:
            return self._turn()
        except Stale as error:
            return self._drop(str(error))
        except Unavailable as error:
            log.warning("backend unavailable", error=str(error))
            return self._outlast()

    # ------------------------------------------------------------------ the states

    def _turn(self) -> float:
        if self._interrupted:
            return self._give_back()
        if self._job is None:
            return self._claim() if self._delivery else self._receive()
        self._beat(self._job)
        if self._job.outcome is not None:
            return self._finish(self._job, self._job.outcome)
        if self._job.running is not None and self._job.phase is not None:
            return self._watch(self._job, self._job.phase, self._job.running)
        return self._begin(self._job)

    def _receive(self) -> float:
        *others, last = self._config.job_classes
        for name in (*others, last):  # in that order, and then listening on the last
            wait_s = LISTEN_S if name == last else 0.0
            message = self._around.backend.queues[name].receive(self._config.terms.lease_s, wait_s)
            if message is not None:
                self._delivery, self._asked = (name, message), self._now()
                return 0.0
        return IDLE_S

    def _claim(self) -> float:
        """Under the receipt as its op_id, so a lost reply is asked for again and a second delivery is a second try."""
        assert self._delivery is not None
        name, message = self._delivery
        try:
            fence = self._ledger.claim(message.body, worker=self._config.name, device_class=self._config.device_class,
                                       machine=self._config.machine, op_id=f"claim.{message.id}.{message.receipt}")
            experiment = self._ledger.experiment(message.body)
            if experiment.fence != fence:
                raise Stale(f"{experiment.id} was claimed by another worker since")
        except (Refused, NotFound) as refusal:
            log.debug("nothing to claim", experiment=message.body, why=str(refusal))
            self._around.backend.queues[name].done(message)
            self._delivery = None
            return 0.0
        self._job = self._new_job(name, message, experiment, fence)
        self._delivery = None
        log.info("attempt begins", experiment=experiment.id, fence=fence)
        return 0.0

    def _new_job(self, queue: str, message: Message, experiment: Experiment, fence: int) -> Job:
        terms, workspace = experiment.attempts[-1].terms or self._config.terms, self._around.workspace(experiment)
        return Job(message, queue, experiment, fence, terms, self._around.track(experiment.spec.track), workspace,
                   Live(experiment.id, workspace, terms, self._spot, self._now), started=self._asked,
                   acknowledged=self._asked, next_beat=self._now())

    def _begin(self, job: Job) -> float:
        """Start the first phase that is not done; with none left, judge what was measured."""
        done = job.experiment.checkpoints
        waiting = [p for p in job.track.phases(job.experiment.spec) if not (p.name in done and done[p.name].done)]
        if not waiting:
            job.outcome = self._judged(job)
            return 0.0
        for phase in waiting:
            if not phase.live and (why := self._too_dear(job, phase)):
                job.outcome = _failed("harness_fault", f"{phase.name} leaves no checkpoint, and {why}")
                return 0.0
        job.phase = waiting[0]
        try:
            request = job.workspace.request(job.experiment, job.phase, job.terms)
        except (NotFound, Damaged) as fault:
            job.outcome = _failed("harness_fault", str(fault))
            return 0.0
        except OSError as error:
            raise _no_room(job, job.phase, error) from error
        self._around.probe("phase.start.before")
        limit_s, memory_mb = job.phase.within_s(job.terms.phase_s), min(job.phase.memory_mb, job.terms.memory_mb)
        try:
            job.running = self._around.runner.start(request, limit_s, memory_mb)
        except OSError as error:
            raise _no_room(job, job.phase, error) from error
        resumed = RESUME in request.inputs
        job.live.begin(job.experiment.checkpoints[job.phase.name].outputs[job.phase.live] if resumed else None)
        self._around.probe("phase.start.after")
        return POLL_S

    def _watch(self, job: Job, phase: Phase, running: Running) -> float:
        for claim in running.progress():
            job.progress = claim
        end = running.poll() or self._given_up(job, phase, running)
        if end is None:
            if phase.live and job.live.due:
                self._keep_live(job, phase, running)
            return min(POLL_S, max(job.next_beat - self._now(), 0.0))
        self._around.probe("phase.end.before")
        job.seconds[phase.name] = end.seconds
        self._record(job, phase, end)
        job.running, job.progress, job.waited_s = None, {}, job.waited_s + end.waited_s
        self._around.probe("phase.end.after")
        return 0.0

    def _keep_live(self, job: Job, phase: Phase, running: Running) -> None:
        kept = job.live.take(phase, running)
        if kept is not None:
            checkpoint = Checkpoint(outputs=kept, done=False)
            self._checkpointed(job, phase, checkpoint, f"live.{phase.name}.{job.live.taken}")
            job.live.recorded()

    def _checkpointed(self, job: Job, phase: Phase, checkpoint: Checkpoint, op: str) -> None:
        before = self._around.clock.wall()
        self._ledger.checkpointed(job.experiment.id, job.fence, phase.name, checkpoint,
                                  op_id=f"{job.experiment.id}.{job.fence}.{op}")
        job.live.retire(checkpoint.outputs.values(), self._around.backend.store, before)

    def _too_dear(self, job: Job, phase: Phase) -> str:
        """Why it has to leave checkpoints here; empty where it need not."""
        return too_dear(phase.within_s(job.terms.phase_s), job.terms.interruptions_per_h) if self._spot else ""

    def _given_up(self, job: Job, phase: Phase, running: Running) -> PhaseEnd | None:
        """One that was to leave checkpoints, and left none for so long that it is not likely to."""
        if not phase.live or job.live.bare_s - running.waited_s < BARE_S or not (why := self._too_dear(job, phase)):
            return None
        running.kill()
        end = running.poll()
        if end is None or end.reason is None:  # it was done a moment ago
            return end
        told = f"left no checkpoint in its first {BARE_S / 60:.0f} minutes, and {why}"
        return msgspec.structs.replace(end, reason="harness_fault", detail=told)

    def _record(self, job: Job, phase: Phase, end: PhaseEnd) -> None:
        """Keep what the phase left, and its log's end, before anyone is told that it is done."""
        outputs: dict[str, str] = {}
        if end.log:
            outputs["log.txt"] = self._around.backend.store.put_bytes(end.log.encode())
        if end.reason is None:
            try:
                outputs |= job.workspace.keep(phase)
            except NotCollected as missing:
                end = msgspec.structs.replace(end, reason="bad_output", detail=str(missing))
        if end.reason is not None:
            job.outcome = _failed(_blamed(end.reason, phase), f"{phase.name}: {end.detail}")
        checkpoint = Checkpoint(outputs=outputs, done=end.reason is None, seconds=end.seconds)
        self._checkpointed(job, phase, checkpoint, f"checkpoint.{phase.name}")
        done = {**job.experiment.checkpoints, phase.name: checkpoint}
        job.experiment = msgspec.structs.replace(job.experiment, checkpoints=done)

    def _judged(self, job: Job) -> Outcome:
        """The last phase's scores against the goals. What cannot be read is our fault: that phase is trusted."""
        last = job.track.phases(job.experiment.spec)[-1].name
        outputs = job.experiment.checkpoints[last].outputs
        try:
            scores = read_as(self._around.backend.store, outputs[SCORES], Scores, "set of scores")
        except (KeyError, NotFound, Damaged) as fault:
            return _failed("harness_fault", f"{last} left no readable {SCORES}: {fault}")
        kept = {name: outputs[name] for name in scores.artefacts.values() if name in outputs}
        scores = msgspec.structs.replace(scores, artefacts=kept)
        exempt = job.track.not_applicable(job.experiment.spec)
        met = succeeded(judge(self._around.goals(job.experiment), scores, exempt))
        return Outcome(verdict="success" if met else "partial", scores=scores)

    def _finish(self, job: Job, outcome: Outcome) -> float:
        outcome = msgspec.structs.replace(outcome, sandboxed=self._around.sandboxed)
        try:
            self._ledger.finish(job.experiment.id, job.fence, outcome, used_s=self._used_s(job), phases=job.seconds,
                                op_id=f"{job.experiment.id}.{job.fence}.finish")
        except Stale:
            raise
        except Refused as refusal:  # the scores were not fit for the ledger: a metric is NaN, say
            job.outcome = _failed("harness_fault", str(refusal))
            return 0.0
        log.info("attempt ended", experiment=job.experiment.id, fence=job.fence, verdict=outcome.verdict,
                 reason=outcome.reason)
        self._around.backend.queues[job.queue].done(job.message)
        self._leave(job)
        return 0.0

    # ------------------------------------------------------------------ the lease

    def _beat(self, job: Job) -> None:
        now = self._now()
        if now < job.next_beat:
            return
        phase = job.phase.name if job.phase else ""
        made = self._requests()
        untold = {kind: count - self._told.get(kind, 0.0) for kind, count in made.items()}
        job.requests = made  # told from here on: if the reply is lost, the ledger may have taken it
        self._ledger.beat(job.experiment.id, Beat(
            fence=job.fence, n=job.beats + 1, used_s=self._used_s(job), phase=phase, progress=job.progress,
            requests=untold))
        job.beats, job.acknowledged, job.next_beat = job.beats + 1, now, now + job.terms.beat_s
        self._around.backend.queues[job.queue].extend(job.message, job.terms.lease_s)  # a hint; the lease is the truth

    def _used_s(self, job: Job) -> float:
        """What is billed: the time since the claim, but for that in which others had the machine."""
        waited_s = job.waited_s + (job.running.waited_s if job.running is not None else 0.0)
        return max(self._now() - job.started - waited_s, 0.0)

    def _requests(self) -> dict[str, float]:
        """By this process, so far."""
        counter = self._around.backend.requests
        return counter.count() if counter is not None else {}

    def _outlast(self) -> float:
        """The backend is away. Wait for it, but not beyond the lease."""
        job = self._job
        if job is not None and self._now() - job.acknowledged > job.terms.lease_s - job.terms.grace_s:
            return self._drop("no heartbeat was acknowledged for lease - grace")
        return RETRY_S

    def _drop(self, why: str) -> float:
        """The attempt is no longer ours: stop it and leave no trace in the ledger. The hint goes as well."""
        job = self._job
        if job is not None:
            log.info("attempt dropped", experiment=job.experiment.id, fence=job.fence, why=why)
            self._leave(job)
        self._delivery = None
        return IDLE_S

    def _give_back(self) -> float:
        """Interrupted: stop the phase, hand the lease back, and offer the work to others."""
        job, why = self._job, self._interrupted
        if job is not None:
            if job.running is not None:
                self._beat(job)  # what follows may take as long as a lease that was just shown to live
                if job.phase is not None and job.phase.live:
                    self._keep_last(job, job.phase, job.running)
                job.running.kill()
                job.waited_s += job.running.waited_s
                job.running = None
            self._ledger.release(job.experiment.id, job.fence, "interrupted", used_s=self._used_s(job), detail=why,
                                 op_id=f"{job.experiment.id}.{job.fence}.release")
            self._around.backend.queues[job.queue].give_back(job.message)
            self._leave(job)
        elif self._delivery is not None:
            self._around.backend.queues[self._delivery[0]].give_back(self._delivery[1])
            self._delivery = None
        self._interrupted = ""
        return IDLE_S

    def _keep_last(self, job: Job, phase: Phase, running: Running) -> None:
        try:
            self._keep_live(job, phase, running)
        except Unavailable as error:
            if self._now() < self._keep_until:
                raise
            log.warning("the last checkpoint was not kept", experiment=job.experiment.id, why=str(error))

    def _leave(self, job: Job) -> None:
        if job.running is not None:
            job.running.kill()
        job.workspace.clean()
        self._told |= job.requests
        self._job = None


def _no_room(job: Job, phase: Phase, error: OSError) -> Unavailable:
    """Our own disk, not the candidate's: to be waited for as for the backend."""
    return Unavailable(f"cannot lay out {phase.name} of {job.experiment.id}: {error}; free some space, or make the "
                       f"folder writable")


def _failed(reason: Reason, detail: str) -> Outcome:
    return Outcome(verdict="failed", reason=reason, detail=detail[:DETAIL])


def _blamed(reason: Reason, phase: Phase) -> Reason:
    """A crash of trusted code is ours. A limit that it hit may well be the candidate's."""
    return "harness_fault" if phase.trusted and reason == "crash" else reason
