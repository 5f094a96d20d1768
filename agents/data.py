"""What a report is made of: plain values, gathered once from the ledger, told as text and as a page."""

from __future__ import annotations

from typing import Literal

import msgspec

from agents.learned import Learned
from agents.reconciliation import Reconciliation
from lab.experiment import Experiment, Purpose, Reason, Scores, State, Verdict
from lab.judging.champion import ConfirmState, Rank, Standing
from lab.judging.comparison import Comparison
from lab.judging.goals import GoalVerdict
from lab.judging.pareto import Point
from lab.money import Budget, Level, Microusd
from lab.space import Value
from lab.track import Goal, Track
from lab.training import Curve


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment, as much of it as judging and telling need."""

    id: str
    purpose: Purpose
    designer: str
    state: State
    clips: str
    family: str
    params: dict[str, Value]
    verdict: Verdict | None = None
    reason: Reason | None = None
    detail: str = ""
    values: tuple[float, ...] | None = None  # the objectives', where all were measured
    rank: Rank | None = None
    sandboxed: bool | None = None


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the candidate on the clips kept for confirming."""

    id: str
    seed: int
    state: ConfirmState
    verdicts: tuple[GoalVerdict, ...] = ()


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One frame, original beside decoded, as data URIs."""

    what: str  # which clip, which frame
    original: str
    decoded: str


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The best so far: the confirmed champion, or else the leader, or else what was refuted last of all."""

    experiment: Experiment
    standing: Standing
    scores: Scores  # with what the anchors tell
    verdicts: tuple[GoalVerdict, ...]
    explained: str
    confirmations: tuple[Confirmation, ...]
    pictures: tuple[Pair, ...]

    @property
    def id(self) -> str:
        return self.experiment.id


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """How one experiment's training went, by its own claims."""

    id: str
    configuration: str
    curve: Curve


class Running(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    purpose: Purpose
    designer: str
    phase: str
    used_s: float


class Lab(msgspec.Struct, frozen=True, kw_only=True):
    """How the laboratory stands at this one look."""

    name: str
    address: str
    daemon: str  # a sentence
    lives: bool | None  # one look cannot always tell
    dead_since: float | None  # wall clock of the last sign of a daemon, where none lives and its run has not ended
    final: bool  # the run has ended with this report
    held: str  # why the budget guard holds the lab
    paused: bool
    stop: Literal["", "drain", "now"]
    override_until: float  # wall clock; 0 where the levels of the budget count
    change: int
    last_change_at: float | None
    settings: int
    running: tuple[Running, ...]
    ideas: int


class BudgetLine(msgspec.Struct, frozen=True, kw_only=True):
    name: str  # the month, or the run
    budget: Budget
    level: Level


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Settled costs of the last hour, the last day and the calendar month; `projected` is the month's end if every day
    were like the last one, null before the lab has cost anything, and `forecast` its level, which warns and stops
    nothing."""

    hour: Microusd
    day: Microusd
    month: Microusd
    projected: Microusd | None
    by_what: dict[str, Microusd]  # this month
    budgets: tuple[BudgetLine, ...]
    expected: Microusd  # what running work will probably cost
    forecast: Level = "ok"
    bill: Reconciliation | None = None  # of an account

    @property
    def spent(self) -> Microusd:
        """Of the narrowest budget in force: the run's, or the month's."""
        return self.budgets[-1].budget.spent if self.budgets else self.month


class ReportData(msgspec.Struct, frozen=True, kw_only=True):
    lab: Lab
    track: Track
    goals: tuple[Goal, ...]
    now: float
    why: str
    rows: tuple[Row, ...]  # by id
    clips: str  # the clip set that the front is of
    front: tuple[Point, ...]
    anchors: dict[str, Scores]
    best: Best | None
    challenger: str  # the first that ranks better than `best` and is neither confirmed nor refuted
    refuted: tuple[str, ...]  # candidates that did not do as well on the clips kept for confirming, best first
    comparisons: tuple[Comparison, ...]
    learned: Learned
    money: Money
    next: tuple[str, ...]
    trained: tuple[Trained, ...] = ()  # the latest, in their order
