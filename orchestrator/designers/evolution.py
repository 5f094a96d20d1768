"""Search by Optuna's tree-structured Parzen estimator, rebuilt from the capped history at every ask.

Nothing is kept between asks, so an ask can be replayed, and it costs the same after ten experiments and ten thousand.
Three choices decide what the estimator learns:
- What failed is told as pruned with a violated constraint. Optuna's own FAIL is left out of its fit, so that a region
  that crashes would be proposed for ever; a violated constraint puts the point among the bad ones.
- What runs now is told as running, and counts as bad until it ends (a constant liar): no two alike in flight.
- A goal on a metric that is no objective becomes a constraint once enough experiments meet all such goals together.
  Earlier it could only replace the objectives by the distance to a goal that perhaps nothing can meet. Goals on the
  objectives themselves are never constraints: the front serves them, and it is wanted whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import msgspec
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from lab.judging.pareto import losses
from lab.space import Choice, Dimension, Integer, Real, Value, active, problems
from lab.track import Family, Objective
from lab.words import count
from orchestrator.designers.control import Control, draw
from orchestrator.designers.protocol import (
    Budget,
    Candidate,
    History,
    Problem,
    Proposal,
    Told,
    ask_rng,
    ask_seed,
    point_key,
)

STARTUP = 10  # finished experiments before there is anything to fit; until then the draws are uniform
REDRAWS = 10  # asks for a point that was not tried, before a uniform draw stands in
FAILED, INFEASIBLE = 1e6, 1e3  # violations: worse than missing any goal, and a crash worse than a missing number

FAMILY = "family"  # the label of the choice between families

Params = dict[str, str | int | float]  # as Optuna holds them: a choice is the JSON text of its value
Distributions = dict[str, BaseDistribution]


class Evolution:
    name = "evolution"

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._startup = Control(problem)
        optuna.logging.set_verbosity(optuna.logging.ERROR)

    def propose(self, history: History, budget: Budget, count: int, seed: int) -> list[Proposal]:
        if sum(t.status == "finished" for t in history.told) < STARTUP:
            return self._startup.propose(history, budget, count, seed)
        study = _study(self._problem, history, ask_seed(seed, self.name, history.proposed))
        rng, tried = ask_rng(seed, self.name, history.proposed), set(history.tried)
        proposals: list[Proposal] = []
        for _ in range(count):
            proposal = _ask(study, self._problem, tried, len(history.told)) or draw(self._problem, rng, tried)
            if proposal is None:
                break
            tried.add(point_key(proposal.family, proposal.params))
            proposals.append(proposal)
        return proposals


def _ask(study: Study, problem: Problem, tried: set[str], told: int) -> Proposal | None:
    """A refused draw stays in the study as running, which steers the next one away from it."""
    for _ in range(REDRAWS):
        family, params = _suggest(study.ask(), problem)
        if point_key(family.name, params) not in tried:
            return Proposal(family=family.name, params=params,
                            hypothesis=f"Close to what did best in {family.name} among {count(told, 'experiment')}.")
    return None


def _study(problem: Problem, history: History, seed: int) -> Study:
    sampler = TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True)
    directions = [StudyDirection.MINIMIZE] * len(problem.objectives)  # losses are told, in logs on log axes
    study = optuna.create_study(sampler=sampler, directions=directions)
    goals = _bounding_goals(problem, history.told)
    for told in history.told:
        study_trial = _told_trial(problem, told, goals)
        if study_trial is not None:
            study.add_trial(study_trial)
    for candidate in history.running:
        if (place := _place(problem, candidate)) is not None:
            study.add_trial(create_trial(state=TrialState.RUNNING, params=place[0], distributions=place[1]))
    return study


def _told_trial(problem: Problem, told: Told, goals: Sequence[str]) -> FrozenTrial | None:
    """None where the point lies outside the present space."""
    place = _place(problem, told)
    if place is None:
        return None
    params, distributions = place
    values = _losses(problem.objectives, told)
    if values is None:
        violation = {"ran": FAILED if told.status == "failed" else INFEASIBLE}
        return create_trial(state=TrialState.PRUNED, params=params, distributions=distributions, constraints=violation)
    return create_trial(values=values, params=params, distributions=distributions,
                        constraints={goal: told.violations[goal] for goal in goals if goal in told.violations})


def _losses(objectives: Sequence[Objective], told: Told) -> list[float] | None:
    """Smaller is better on each; None if it did not finish, or has no place on a log axis."""
    if told.status != "finished":
        return None
    values = [told.objectives[o.metric] for o in objectives]
    if any(o.log and v <= 0 for o, v in zip(objectives, values, strict=True)):
        return None
    return list(losses([log(v) if o.log else v for o, v in zip(objectives, values, strict=True)], objectives))


def _bounding_goals(problem: Problem, told: Sequence[Told]) -> list[str]:
    """The goals on other metrics than the objectives, once STARTUP experiments meet them all together."""
    axes = {o.metric for o in problem.objectives}
    goals = [str(g) for g in problem.goals if g.metric not in axes]
    meeting = sum(t.status == "finished" and not any(t.violations.get(g, 0.0) for g in goals) for t in told)
    return goals if meeting >= STARTUP else []


def _place(problem: Problem, point: Told | Candidate) -> tuple[Params, Distributions] | None:
    """The point as Optuna holds it, or None where it is no point of the present space."""
    family = problem.family(point.family)
    if family is None or problems(family.space, point.params):
        return None
    params: Params = {FAMILY: family.name}
    distributions: Distributions = {FAMILY: CategoricalDistribution([f.name for f in problem.families])}
    for dimension in family.space:
        if active(dimension, point.params):
            label = _label(family, dimension)
            params[label] = _encode(dimension, point.params[dimension.name])
            distributions[label] = _distribution(dimension)
    return params, distributions


def _suggest(trial: Trial, problem: Problem) -> tuple[Family, dict[str, Value]]:
    """A point, one dimension after the other, so that those that a choice opens are asked for only then."""
    name = trial.suggest_categorical(FAMILY, [f.name for f in problem.families])
    family = next(f for f in problem.families if f.name == name)
    params: dict[str, Value] = {}
    for dimension in family.space:
        if active(dimension, params):
            params[dimension.name] = _draw(trial, dimension, _label(family, dimension))
    return family, params


def _draw(trial: Trial, dimension: Dimension, label: str) -> Value:
    match dimension:
        case Choice():
            text = trial.suggest_categorical(label, _texts(dimension))
            return dimension.values[_texts(dimension).index(text)]
        case Integer():
            return trial.suggest_int(label, dimension.low, _top(dimension), step=dimension.step)
        case Real():
            return dimension.rounded(trial.suggest_float(label, dimension.low, dimension.high, log=dimension.log))


def _distribution(dimension: Dimension) -> BaseDistribution:
    match dimension:
        case Choice():
            return CategoricalDistribution(_texts(dimension))
        case Integer():
            return IntDistribution(dimension.low, _top(dimension), step=dimension.step)
        case Real():
            return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _encode(dimension: Dimension, value: Value) -> str | int | float:
    return _text(value) if isinstance(dimension, Choice) else value


def _texts(choice: Choice) -> list[str]:
    return [_text(value) for value in choice.values]


def _text(value: Value) -> str:
    """JSON tells True from 1, which Optuna's categories do not."""
    return msgspec.json.encode(value).decode()


def _top(dimension: Integer) -> int:
    """The highest value that the steps reach."""
    return dimension.high - (dimension.high - dimension.low) % dimension.step


def _label(family: Family, dimension: Dimension) -> str:
    """Families may name their dimensions alike and mean different ones."""
    return f"{family.name}.{dimension.name}"
