"""All that a report tells, from the ledger alone and in one pass: it works while the daemon is dead, and says so.

Nothing is written. Only pictures come from elsewhere (the store), and one that is missing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from agents.data import Best, Confirmation, ReportData, Row, Trained
from agents.learned import Trial, learn
from agents.spending import spending
from agents.standing import stand
from agents.thumbnails import pairs
from agents.upcoming import upcoming
from agents.words import configuration
from lab.backend import Backend
from lab.errors import SettingsError
from lab.experiment import Experiment, Scores
from lab.judging import champion as rule
from lab.judging.champion import ConfirmState, Rank, Standing
from lab.judging.comparison import Comparison, compare
from lab.judging.goals import judge
from lab.judging.pareto import Front, Point
from lab.ledger import Ledger
from lab.settings import Settings, goals_of, parse
from lab.track import Goal, Track
from lab.training import curves

NO_DESIGNER = ("control", "person", "anchor")  # whom nobody compares with control
MOST_TRAINED = 6  # whose curves the report draws
UNJUDGED = ("candidate", "confirming")
SEED = 0  # of the noise bands, so that the same ledger tells the same


def gather(backend: Backend, track: Track, now: float, why: str, *, final: bool = False) -> ReportData:
    """`now` is the wall clock's, in seconds; `why` says what the report is for; a `final` one, what ended the run."""
    ledger = backend.ledger
    settings = settings_in_force(ledger)
    goals = goals_of(settings, track)
    read = Reading(track, goals)
    for experiment in ledger.all_experiments():
        read.see(experiment)
    clips = read.clips
    trials = [row for row in read.rows if row.values is not None and row.clips == clips and row.purpose == "explore"]
    lab, money = stand(backend, settings, read.running, now, final), spending(ledger, now, len(read.running))
    best, challenger = _best(backend, read)
    return ReportData(
        lab=lab, track=track, goals=goals, now=now, why=why, rows=tuple(read.rows), clips=clips,
        front=tuple(front_of(trials, track).points()), anchors=read.anchors, best=best, challenger=challenger,
        refuted=tuple(read.refuted()), comparisons=tuple(comparisons(read.rows, clips, track)), money=money,
        learned=learn([Trial({"family": row.family, **row.params}, row.values or ()) for row in trials],
                      track.objectives, seed=SEED),
        trained=tuple(trainings(backend, read)),
        next=tuple(upcoming(lab, money, settings, track, read.rows, best, challenger, read.states(), read.anchors)))


def settings_in_force(ledger: Ledger) -> Settings:
    """The revision that the control names; defaults where none was pushed, or where it is not sound (the daemon goes
    on with older ones then, and has said so)."""
    pushed = ledger.office.settings(ledger.office.control().settings)
    try:
        return parse(pushed.text, f"settings revision {pushed.revision}") if pushed else Settings()
    except SettingsError:
        return Settings()


class Reading:
    """Folds the experiments, in the order of their ids, into what the report needs of each."""

    def __init__(self, track: Track, goals: Sequence[Goal]) -> None:
        self.track, self.goals = track, goals
        self.rows: list[Row] = []
        self.running: list[Experiment] = []
        self.anchors: dict[str, Scores] = {}
        self.confirms: dict[str, dict[int, ConfirmState]] = {}
        self.confirmations: dict[str, list[Experiment]] = {}
        self.trained: list[Experiment] = []  # the latest explored ones that trained something

    @property
    def clips(self) -> str:
        """The clip set that is explored now: numbers of different footage are not drawn together."""
        explored = [row for row in reversed(self.rows) if row.purpose == "explore"]
        designed = (row for row in explored if row.designer != "person")
        return next((row.clips for row in (*designed, *explored, *self.rows[-1:])), "")

    @property
    def ranks(self) -> list[Rank]:
        """Those explored on that clip set, best first."""
        clips = self.clips
        return sorted(row.rank for row in self.rows if row.rank is not None and row.clips == clips)

    def refuted(self) -> list[str]:
        """Those that ran well on the score clips and not when they were confirmed, best first."""
        return [rank.id for rank in self.ranks if self.standing(rank).status == "refuted"]

    def states(self) -> dict[str, Mapping[int, ConfirmState]]:
        """How the confirmations of each of them stand, by its id."""
        return {rank.id: self.confirms.get(rank.recipe, {}) for rank in self.ranks}

    def standing(self, rank: Rank) -> Standing:
        return rule.standing(rank, self.confirms.get(rank.recipe, {}))

    def see(self, experiment: Experiment) -> None:
        scores = experiment.outcome.scores if experiment.outcome else None
        if experiment.purpose == "anchor" and experiment.group and scores is not None:
            self.anchors[experiment.group] = scores
        if experiment.purpose == "confirm":
            recipe = experiment.spec.recipe()
            self.confirms.setdefault(recipe, {})[experiment.spec.seed] = rule.confirm_state(experiment)
            self.confirmations.setdefault(recipe, []).append(experiment)
        if experiment.state == "running":
            self.running.append(experiment)
        if experiment.purpose == "explore" and experiment.state == "finished" and experiment.spec.limit is not None:
            self.trained = [*self.trained[1 - MOST_TRAINED:], experiment]
        self.rows.append(self._row(experiment))

    def _row(self, experiment: Experiment) -> Row:
        outcome, spec = experiment.outcome, experiment.spec
        rank = rule.rank(experiment, self.track, self.goals, self.anchors) if experiment.purpose == "explore" else None
        return Row(id=experiment.id, purpose=experiment.purpose, designer=experiment.designer, state=experiment.state,
                   clips=spec.clips, family=spec.family, params=spec.params,
                   verdict=outcome.verdict if outcome else None, reason=outcome.reason if outcome else None,
                   detail=outcome.detail if outcome else "", rank=rank,
                   sandboxed=outcome.sandboxed if outcome else None,
                   values=objectives_of(outcome.scores, self.track) if outcome and outcome.scores else None)


def objectives_of(scores: Scores, track: Track) -> tuple[float, ...] | None:
    found = [scores.mean.get(objective.metric) for objective in track.objectives]
    known = tuple(value for value in found if value is not None)
    return known if len(known) == len(found) else None


def front_of(trials: Sequence[Row], track: Track) -> Front:
    return Front(track.objectives, (Point(row.id, row.values) for row in trials if row.values is not None))


# ---------------------------------------------------------------------- the best so far

def _best(backend: Backend, read: Reading) -> tuple[Best | None, str]:
    """The champion, or else the leader, or else the best that was refuted; and the best that ranks better unjudged."""
    ahead = rule.leader(read.ranks, read.confirms)
    believed = rule.champion(read.ranks, read.confirms)
    found = believed or ahead
    if found is None and read.ranks:
        found = read.standing(read.ranks[0])
    if found is None:
        return None, ""
    better = (rank.id for rank in read.ranks if rank < found.rank and read.standing(rank).status in UNJUDGED)
    return _described(backend, read, found), next(better, "")


def _described(backend: Backend, read: Reading, found: Standing) -> Best | None:
    experiment = backend.ledger.experiment(found.id)
    if experiment.outcome is None or experiment.outcome.scores is None:
        return None
    scores = read.track.derive(experiment.outcome.scores, read.anchors)
    exempt = read.track.not_applicable(experiment.spec)
    return Best(experiment=experiment, standing=found, scores=scores, explained=read.track.explain(scores),
                verdicts=tuple(judge(read.goals, scores, exempt)),
                confirmations=tuple(_confirmation(run, read) for run in read.confirmations.get(found.rank.recipe, ())),
                pictures=tuple(pairs(backend.store, scores)))


def _confirmation(run: Experiment, read: Reading) -> Confirmation:
    scores = run.outcome.scores if run.outcome else None
    verdicts = judge(read.goals, scores, read.track.not_applicable(run.spec)) if scores else ()
    return Confirmation(id=run.id, seed=run.spec.seed, state=rule.confirm_state(run), verdicts=tuple(verdicts))


def trainings(backend: Backend, read: Reading) -> Iterator[Trained]:
    """The loss of the latest that left one; of failed ones too, which is where it is looked for."""
    for experiment in read.trained:
        for curve in curves(experiment, read.track, backend.store)[:1]:
            told = configuration(experiment.spec.family, experiment.spec.params)
            yield Trained(id=experiment.id, configuration=told, curve=curve)


# ---------------------------------------------------------------------- the designers against control

def comparisons(rows: Sequence[Row], clips: str, track: Track) -> list[Comparison]:
    """Each designer against control, over what has run to an end on these clips by the candidate's own doing."""
    told = [row for row in rows if row.purpose == "explore" and row.clips == clips and row.state == "finished"
            and row.reason != "harness_fault"]
    entered = _entered(told, track)
    by_designer = {name: list(group) for name, group in groupby(sorted(told, key=lambda r: r.designer),
                                                                key=lambda r: r.designer)}
    control = by_designer.get("control", [])
    return [compare(name, [row.values for row in mine], [row.values for row in control],
                    sum(row.id in entered for row in mine), sum(row.id in entered for row in control),
                    track.objectives, seed=SEED)
            for name, mine in by_designer.items() if name not in NO_DESIGNER]


def _entered(rows: Sequence[Row], track: Track) -> set[str]:
    """Who was on the front when its turn came, in the order of the proposals."""
    front = Front(track.objectives)
    return {row.id for row in rows if row.values is not None and front.add(Point(row.id, row.values))}

