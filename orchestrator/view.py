"""The daemon's memory of the ledger: folded from changes, compact, and able to be rebuilt at any moment.

It holds whole experiments only while they live; of those that ended it keeps what judging needs. Applying an older
image twice does no harm, so it is loaded by listing the ledger and then follows `changes(since)`.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from lab.accounts import latest_attempts
from lab.control import Change, Control, Idea, Image, Report
from lab.experiment import Attempt, Experiment, Scores
from lab.judging import champion as rule
from lab.judging.champion import ConfirmState, Rank
from lab.ledger import Ledger
from lab.money import RECENT, Budget, Entry, Reservation
from lab.table import Record
from lab.track import Goal, Track

ENDED = ("finished", "cancelled")
PAGE = 500
LAG = 300  # changes that lists by tag may lag behind, on a backend whose index does


class View:
    """See the module. `memory` is told of explored experiments by whoever feeds the designers, not here."""

    def __init__(self, track: Track, goals: tuple[Goal, ...], clips: str = "") -> None:
        """Ranks and anchors are those of the clip set `clips`, since numbers of other footage do not compare; without
        it, of all."""
        self.track, self.goals, self._clips = track, goals, clips
        self.change = 0
        self.live: dict[str, Experiment] = {}
        self.explored: list[str] = []  # ids, in the order of their proposal
        self.ended: dict[str, str] = {}  # id → designer, of everything that ended
        self.cancelled: set[str] = set()
        self.outcomes: Counter[str] = Counter()
        self.by_designer: Counter[str] = Counter()
        self.anchors: dict[str, Scores] = {}
        self.anchor_faults = Counter[str]()  # fingerprint → how often it ended by our own fault
        self.anchor_ids: dict[str, str] = {}  # fingerprint → id, of every anchor that stands
        self.ranks: list[Rank] = []  # best first
        self.rank_of: dict[str, Rank] = {}
        self.unsettled: dict[str, Reservation] = {}
        self.used: dict[str, tuple[str, Attempt]] = {}  # reservation → (experiment, the attempt that ended on it)
        self.budgets: dict[str, Budget] = {}
        self.control = Control()
        self.ideas: dict[str, Idea] = {}  # of people, that wait
        self.reports: set[str] = set()
        self.waiting_reports: dict[str, Report] = {}
        self._telling: list[tuple[str, int]] = []  # keys and amounts of the last attempts that cost something
        self.confirms: dict[str, dict[int, ConfirmState]] = {}  # recipe → seed → how its confirmation stands
        self.faults: list[str] = []  # what the harness's faults said, since something last ended without one
        self._numbers: set[str] = set()
        self._readers: dict[str, Callable[[Image], None]] = {
            "reservation": self._see_reservation, "experiment": self._see_experiment, "budget": self._see_budget,
            "entry": self._see_entry, "control": self._see_control, "idea": self._see_idea,
            "report": self._see_report}

    @property
    def count(self) -> int:
        """How many experiments there have ever been."""
        return len(self._numbers)

    def load(self, ledger: Ledger) -> None:
        """Everything as it stands now. Changes that land meanwhile are applied again, which does no harm."""
        self.change = ledger.last_change()
        for record in _records(ledger):
            self._readers[record.kind](Image(record.kind, record.id, record.version, record.tag,
                                             msgspec.Raw(record.body)))
        self.faults = []  # they may be mended: a new look gives a new chance

    def apply(self, change: Change) -> None:
        for image in change.records:
            reader = self._readers.get(image.kind)
            if reader is not None:
                reader(image)
        self.change = change.n

    @property
    def recent_costs(self) -> list[int]:
        """Of the last attempts, the same whether we followed or looked: as `Accounts.latest_attempts`."""
        return [amount for _, amount in self._telling]

    def running(self) -> list[Experiment]:
        return [e for e in self.live.values() if e.state == "running"]

    def rank(self, experiment: Experiment) -> Rank | None:
        """Where an explored experiment stands; None if it has no scores to stand on."""
        return rule.rank(experiment, self.track, self.goals, self.anchors)

    def see_confirmation(self, experiment: Experiment) -> None:
        states = self.confirms.setdefault(experiment.spec.recipe(), {})
        states[experiment.spec.seed] = rule.confirm_state(experiment)

    # ------------------------------------------------------------------ one reader a kind of record

    def _see_experiment(self, image: Image) -> None:
        experiment = msgspec.json.decode(image.body, type=Experiment)
        self._number(experiment)
        if experiment.purpose == "confirm":
            self.see_confirmation(experiment)
        for attempt in experiment.attempts:
            if attempt.ending is not None and attempt.reservation in self.unsettled:
                self.used[attempt.reservation] = (experiment.id, attempt)
        if experiment.id in self.ended:  # an older image, of a change that landed while we were loading
            return
        if experiment.state not in ENDED:
            self.live[experiment.id] = experiment
        else:
            self._end(experiment)

    def _number(self, experiment: Experiment) -> None:
        if experiment.id in self._numbers:
            return
        self._numbers.add(experiment.id)
        if experiment.purpose == "explore":
            insort(self.explored, experiment.id)
            self.by_designer[experiment.designer] += 1
        if experiment.purpose == "anchor":
            self.anchor_ids[experiment.fingerprint] = experiment.id

    def _end(self, experiment: Experiment) -> None:
        self.live.pop(experiment.id, None)
        self.ended[experiment.id] = experiment.designer
        if experiment.state == "cancelled":
            self.cancelled.add(experiment.id)
        outcome = experiment.outcome
        self.outcomes["cancelled" if outcome is None else outcome.verdict] += 1
        if outcome is not None:
            self.faults = [*self.faults, outcome.detail] if outcome.reason == "harness_fault" else []
        if self._clips and experiment.spec.clips != self._clips:
            return
        if experiment.purpose == "anchor":
            self._end_anchor(experiment)
        if experiment.purpose == "explore" and (rank := self.rank(experiment)) is not None:
            insort(self.ranks, rank)
            self.rank_of[experiment.id] = rank

    def _end_anchor(self, experiment: Experiment) -> None:
        faulted = experiment.outcome is None or experiment.outcome.reason == "harness_fault"
        if faulted:
            self.anchor_ids.pop(experiment.fingerprint, None)
            self.anchor_faults[experiment.fingerprint] += 1
        elif experiment.outcome is not None and experiment.outcome.scores is not None and experiment.group:
            self.anchors[experiment.group] = experiment.outcome.scores

    def _see_reservation(self, image: Image) -> None:
        reservation = msgspec.json.decode(image.body, type=Reservation)
        if reservation.settled:
            self.unsettled.pop(reservation.key, None)
            self.used.pop(reservation.key, None)
        else:
            self.unsettled[reservation.key] = reservation

    def _see_budget(self, image: Image) -> None:
        budget = msgspec.json.decode(image.body, type=Budget)
        self.budgets[budget.id] = budget

    def _see_entry(self, image: Image) -> None:
        entry = msgspec.json.decode(image.body, type=Entry)
        told = (entry.key, entry.amount)
        if entry.telling and told not in self._telling:
            insort(self._telling, told)
            del self._telling[:-RECENT]

    def _see_control(self, image: Image) -> None:
        self.control = msgspec.json.decode(image.body, type=Control)

    def _see_idea(self, image: Image) -> None:
        idea = msgspec.json.decode(image.body, type=Idea)
        if idea.taken:
            self.ideas.pop(idea.key, None)
        else:
            self.ideas[idea.key] = idea

    def _see_report(self, image: Image) -> None:
        report = msgspec.json.decode(image.body, type=Report)
        self.reports.add(report.key)
        if report.delivered:
            self.waiting_reports.pop(report.key, None)
        else:
            self.waiting_reports[report.key] = report


def _records(ledger: Ledger) -> Iterator[Record]:
    """What a view is made of, reservations before the attempts that used them. Books that are closed stay shut: of
    settled reservations only the latest are read, of entries only those of the last attempts."""
    yield from _pages(ledger, "reservation", "open")
    yield from _pages(ledger, "idea", "waiting")
    for change in ledger.changes(max(ledger.last_change() - LAG, 0), LAG):  # the lists may not know of them yet
        yield from (image.record() for image in change.records if image.kind in ("reservation", "idea"))
    for kind in ("experiment", "budget", "control", "report"):
        yield from _pages(ledger, kind)
    yield from latest_attempts(ledger.table, RECENT)


def _pages(ledger: Ledger, kind: str, tag: str | None = None) -> Iterator[Record]:
    after = ""
    while page := ledger.table.page(kind, tag=tag, after=after, limit=PAGE):
        yield from page
        after = page[-1].id


def explored_clips(ledger: Ledger) -> str:
    """The clip set that was explored last; empty in a new lab."""
    latest = ledger.experiments(limit=PAGE, newest_first=True)
    return next((e.spec.clips for e in latest if e.purpose == "explore" and e.designer != "person"), "")
