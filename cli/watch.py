"""What stands in a laboratory, as a person wants to see it: folded from the ledger, then followed by its changes.

`status`, the live view of `run` and its summary are three ways of showing the same `Status`. Nothing is written, and
nothing heavier than the ledger is imported.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from cli.words import configuration, label, share_done, verdict
from lab import clipset
from lab.backend import Backend
from lab.clock import month_key
from lab.control import DaemonLease
from lab.errors import AetherError
from lab.experiment import Experiment
from lab.judging.champion import standing
from lab.judging.goals import GoalVerdict, judge
from lab.money import Budget, Level, expected_cost, worst_level
from lab.settings import Settings, goals_of, parse
from lab.track import load_track
from orchestrator.champion import champion, leader
from orchestrator.view import View, explored_clips

RECENT = 6
FOLLOWED = 500  # changes in one page


class RunningLine(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    what: str
    designer: str
    phase: str
    used_s: float
    done: float | None  # share of the present step, as claimed
    note: str


class EndedLine(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    what: str
    purpose: str
    designer: str
    verdict: str
    values: dict[str, float | None]  # of the objectives
    used_s: float


class GoalLine(msgspec.Struct, frozen=True, kw_only=True):
    goal: str
    metric: str
    status: str
    value: float | None
    share: float | None  # of the clips that meet it by themselves
    why: str


class Best(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    what: str
    status: str  # candidate, confirming, confirmed
    meets: bool
    goals: tuple[GoalLine, ...]


class DaemonLine(msgspec.Struct, frozen=True, kw_only=True):
    state: Literal["running", "absent", "elsewhere"]  # elsewhere: on another machine, so one look cannot tell
    host: str = ""
    pid: int = 0
    since: float = 0.0


class MoneyLine(msgspec.Struct, frozen=True, kw_only=True):
    budget: str
    spent: int
    reserved: int
    free: int
    cap: int
    level: Level


class Status(msgspec.Struct, frozen=True, kw_only=True):
    lab: str
    backend: str
    daemon: DaemonLine
    waits_for: str  # what keeps a daemon from coming: "footage", or nothing
    held: str  # why the budget guard lets nothing new begin; empty where it does
    paused: bool
    stopping: str
    override_until: float  # wall clock; 0 where the levels of the budget count
    settings: int
    change: int
    experiments: int
    states: dict[str, int]
    outcomes: dict[str, int]
    running: tuple[RunningLine, ...]
    best: Best | None
    champion: str | None
    refuted: tuple[str, ...]  # ids of those that their confirmations did not bear out, best first
    unproven: tuple[str, ...]  # ids of those that no confirmation can bear out: code from outside that misses a goal
    recent: tuple[EndedLine, ...]
    money: tuple[MoneyLine, ...]
    schema: int = 1


class Watch:
    """Follows one laboratory. `refresh` takes in what has changed; `status` tells how it stands."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.ledger = backend, backend.ledger
        self._load()

    def refresh(self) -> list[str]:
        """Follow the changes; gives the ids of experiments that ended since the last call."""
        before = set(self.view.ended)
        if self.ledger.office.control().settings != self._revision:  # other goals rank all anew
            self._load()
        while changes := self.ledger.changes(self.view.change, FOLLOWED):
            for change in changes:
                self.view.apply(change)
        return [id for id in self.view.ended if id not in before]

    def status(self, now: float) -> Status:
        view, control, daemon = self.view, self.view.control, daemon_line(self.ledger.office.lease())
        ahead, believed = leader(view), champion(view)
        return Status(
            lab=self.settings.lab.name, backend=self.backend.address, daemon=daemon,
            waits_for="footage" if daemon.state == "absent" and self._no_footage() else "",
            held=control.held, paused=control.paused, stopping=control.stop,
            override_until=control.override_until if control.override_until > now else 0.0,
            settings=control.settings, change=view.change,
            experiments=view.count, states=self._states(), outcomes=dict(view.outcomes), running=self._running(),
            best=self._best(ahead.id, ahead.status, ahead.meets) if ahead else None,
            champion=believed.id if believed else None,
            refuted=tuple(rank.id for rank in view.ranks if self.refuted(rank.id)),
            unproven=tuple(rank.id for rank in view.ranks if self.unproven(rank.id)), recent=self._recent(),
            money=self._money(now))

    def ended(self, experiment: Experiment) -> EndedLine:
        scores = experiment.outcome.scores if experiment.outcome else None
        mean: Mapping[str, float | None] = scores.mean if scores else {}
        return EndedLine(
            id=experiment.id, what=label(experiment, self.track), purpose=experiment.purpose,
            designer=experiment.designer, verdict=verdict(experiment.outcome),
            values={o.metric: mean.get(o.metric) for o in self.track.objectives},
            used_s=sum(attempt.used_s for attempt in experiment.attempts))

    def refuted(self, id: str) -> bool:
        """Whether confirmations on unseen clips refuted that candidate."""
        return self._stands(id) == "refuted"

    def unproven(self, id: str) -> bool:
        """Whether it ran on unseen clips as well, which proves nothing of it."""
        return self._stands(id) == "unproven"

    def verdicts(self, experiment: Experiment) -> list[GoalVerdict]:
        """Of an experiment with scores, against the goals in force now."""
        scores = experiment.outcome.scores if experiment.outcome else None
        if scores is None:
            return []
        return judge(self.goals, self.track.derive(scores, self.view.anchors),
                     self.track.not_applicable(experiment.spec))

    def _stands(self, id: str) -> str:
        rank = self.view.rank_of.get(id)
        return standing(rank, self.view.confirms.get(rank.recipe, {})).status if rank is not None else ""

    def _load(self) -> None:
        self._revision = self.ledger.office.control().settings
        self.settings = settings_in_force(self.backend, self._revision)
        self.track = load_track(self.settings.lab.track)
        self.goals = goals_of(self.settings, self.track)
        self.view = View(self.track, self.goals, explored_clips(self.ledger))
        self.view.load(self.ledger)

    def _no_footage(self) -> bool:
        """Where the clips cannot be read, `aether doctor` says why."""
        try:
            return not clipset.scored(clipset.load(self.backend.store))
        except AetherError:
            return False

    def _states(self) -> dict[str, int]:
        states = dict.fromkeys(("proposed", "queued", "running"), 0)
        for experiment in self.view.live.values():
            states[experiment.state] += 1
        ended, cancelled = len(self.view.ended), len(self.view.cancelled)
        return states | {"finished": ended - cancelled, "cancelled": cancelled}

    def _running(self) -> tuple[RunningLine, ...]:
        lines = list[RunningLine]()
        for experiment in self.view.running():
            beat = self.ledger.beat_of(experiment.id, experiment.fence)
            progress = beat.progress if beat else {}
            lines.append(RunningLine(
                id=experiment.id, what=label(experiment, self.track), designer=experiment.designer,
                phase=beat.phase if beat else "", used_s=beat.used_s if beat else 0.0, done=share_done(progress),
                note=" ".join(str(progress[name]) for name in ("clip", "note") if progress.get(name))))
        return tuple(sorted(lines, key=lambda line: line.id))

    def _best(self, id: str, status: str, meets: bool) -> Best:
        experiment = self.ledger.experiment(id)
        return Best(id=id, what=configuration(experiment.spec, self.track), status=status, meets=meets,
                    goals=goal_lines(self.verdicts(experiment)))

    def _recent(self) -> tuple[EndedLine, ...]:
        page = self.ledger.experiments("finished", limit=RECENT, newest_first=True)
        return tuple(self.ended(experiment) for experiment in page)

    def _money(self, now: float) -> tuple[MoneyLine, ...]:
        month, lease = month_key(now), self.ledger.office.lease()
        cost = expected_cost(len(self.view.running()), self.view.recent_costs, self.view.unsettled.values())
        names = {"month": month} | ({"run": f"run-{lease.run}"} if lease and lease.carried else {})
        return tuple(_money_line(name, self.view.budgets[id], cost) for name, id in names.items()
                     if id in self.view.budgets)


def daemon_line(lease: DaemonLease | None) -> DaemonLine:
    if lease is None or not lease.holder:
        return DaemonLine(state="absent")
    if lease.host != socket.gethostname():
        return DaemonLine(state="elsewhere", host=lease.host, pid=lease.pid, since=lease.since)
    state: Literal["running", "absent"] = "running" if _lives(lease.pid) else "absent"
    return DaemonLine(state=state, host=lease.host, pid=lease.pid, since=lease.since)


def settings_in_force(backend: Backend, revision: int) -> Settings:
    """Of that revision; the defaults where none was pushed."""
    pushed = backend.ledger.office.settings(revision)
    return parse(pushed.text, f"settings revision {revision}") if pushed else Settings()


def goal_lines(verdicts: Sequence[GoalVerdict]) -> tuple[GoalLine, ...]:
    return tuple(GoalLine(goal=str(v.goal), metric=v.goal.metric, status=v.status, value=v.value, share=v.share,
                          why=v.why) for v in verdicts)


def _money_line(name: str, budget: Budget, cost: int) -> MoneyLine:
    return MoneyLine(budget=name, spent=budget.spent, reserved=budget.reserved, free=budget.free, cap=budget.cap,
                     level=worst_level([budget], cost))


def _lives(pid: int) -> bool:
    """Whether that process is a daemon: the number may have been given to a stranger since."""
    try:
        return b"orchestrate" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
