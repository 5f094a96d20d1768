"""Evolution learns from what it is told: from good points, from crashes, and from what still runs."""

from __future__ import annotations

from statistics import median

import pytest

from lab.space import problems
from lab.track import Family, Goal
from orchestrator.designers.control import Control
from orchestrator.designers.evolution import STARTUP, Evolution, _study
from orchestrator.designers.protocol import Budget, Candidate, History, Problem, Proposal, Told, point_key
from support.planted import OBJECTIVES, SPACE, crashed, finished, history_of, planted, play, volume

SEEDS = range(7)


@pytest.fixture(scope="module")
def played() -> list[Told]:
    """40 uniform experiments, all told."""
    return play(Control(planted()), seed=3, asks=40)


def test_sixty_asks_reach_more_hypervolume_than_control() -> None:
    evolved = [volume(play(Evolution(planted()), seed, 60)) for seed in SEEDS]
    drawn = [volume(play(Control(planted()), seed, 60)) for seed in SEEDS]
    assert median(evolved) > median(drawn)
    assert sum(e > c for e, c in zip(evolved, drawn, strict=True)) >= len(SEEDS) - 1, (evolved, drawn)


def test_the_same_seed_repeats_every_proposal_and_another_does_not() -> None:
    first, again, other = ([t.params for t in play(Evolution(planted()), seed, 20)] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_region_that_crashes_is_avoided() -> None:
    def run(id: str, proposal: Proposal) -> Told:
        return (crashed if int(proposal.params["effort"]) > 6 else finished)(id, proposal)

    def late_crashes(designer: type[Control] | type[Evolution]) -> int:
        return sum(t.status == "failed" for seed in range(4) for t in play(designer(planted()), seed, 50, run)[30:])

    assert late_crashes(Control) >= 25  # half of the space crashes: 40 expected of 80
    assert late_crashes(Evolution) <= 8


def test_before_there_is_anything_to_fit_it_draws_as_control_does(played: list[Told]) -> None:
    early = history_of(played[:STARTUP - 1])
    assert Evolution(planted()).propose(early, Budget(), 2, 9) == Control(planted()).propose(early, Budget(), 2, 9)


def test_proposals_lie_in_the_space_and_open_only_the_dimensions_of_their_choice(played: list[Told]) -> None:
    proposals = Evolution(planted()).propose(history_of(played), Budget(), 25, 0)
    assert [problems(SPACE, p.params) for p in proposals] == [[]] * 25
    assert all(("q" in p.params) == (p.params["mode"] == "a") for p in proposals)


def test_what_runs_is_not_proposed_again_and_moves_the_next_ask(played: list[Told]) -> None:
    history = history_of(played)
    alone = Evolution(planted()).propose(history, Budget(), 1, 4)[0]
    crowd = tuple(Candidate(family=alone.family, params=alone.params | {"effort": e}) for e in range(14))
    busy = History(told=history.told, tried=history.tried, proposed=history.proposed, running=crowd)
    beside = Evolution(planted()).propose(busy, Budget(), 1, 4)[0]
    assert point_key(beside.family, beside.params) != point_key(alone.family, alone.params)


def test_a_point_that_was_tried_is_never_proposed(played: list[Told]) -> None:
    history = history_of(played)
    for _ in range(15):
        proposals = Evolution(planted()).propose(history, Budget(), 1, 4)
        key = point_key(proposals[0].family, proposals[0].params)
        assert key not in history.tried
        history = History(told=history.told, tried=(*history.tried, key), proposed=history.proposed)


def test_points_of_an_older_space_are_left_out(played: list[Told]) -> None:
    stale = Told(id="old", designer="test", family="planted", params={"mode": "gone"}, status="finished",
                 objectives={"rate": 0.01, "quality": 99.0})
    unknown = Told(id="fam", designer="test", family="gone", params={}, status="failed", reason="crash")
    assert len(Evolution(planted()).propose(history_of([*played, stale, unknown]), Budget(), 3, 0)) == 3


def test_a_goal_beside_the_objectives_bounds_the_search_only_once_enough_meet_it(played: list[Told]) -> None:
    goal = Goal(metric="decode_ms", relation="<=", value=10)

    def constraints(meeting: int) -> int:
        told = [Told(id=t.id, designer="t", family=t.family, params=t.params, status="finished",
                     objectives=t.objectives, violations={str(goal): 0.0 if i < meeting else 0.5})
                for i, t in enumerate(played)]
        return sum(any(v > 0 for v in trial.constraints.values())
                   for trial in _study(planted((goal,)), history_of(told), 0).trials)

    assert constraints(STARTUP - 1) == 0
    assert constraints(STARTUP) == len(played) - STARTUP


def test_a_goal_on_an_objective_never_bounds_the_search(played: list[Told]) -> None:
    goal = Goal(metric="rate", relation="<=", value=1.0)
    told = [Told(id=t.id, designer="t", family=t.family, params=t.params, status="finished", objectives=t.objectives,
                 violations={str(goal): max(0.0, t.objectives["rate"] - 1.0)}) for t in played]
    assert not any(trial.constraints for trial in _study(planted((goal,)), history_of(told), 0).trials)


def test_a_value_without_a_logarithm_is_told_as_infeasible_not_as_the_best(played: list[Told]) -> None:
    zero = Told(id="z", designer="t", family="planted", params=played[0].params, status="finished",
                objectives={"rate": 0.0, "quality": 50.0})
    last = _study(planted(), history_of([*played, zero]), 0).trials[-1]
    assert last.values is None
    assert any(v > 0 for v in last.constraints.values())


def test_it_searches_several_families_and_settles_on_the_better() -> None:
    two = Problem(families=(Family(name="good", space=SPACE), Family(name="bad", space=SPACE)), objectives=OBJECTIVES)

    def run(id: str, proposal: Proposal) -> Told:
        told = finished(id, proposal)
        worse = {"rate": told.objectives["rate"] * 3, "quality": told.objectives["quality"] - 5}
        return told if proposal.family == "good" else Told(id=id, designer="t", family="bad", params=told.params,
                                                           status="finished", objectives=worse)

    late = [t.family for seed in range(3) for t in play(Evolution(two), seed, 60, run)[30:]]
    assert late.count("good") > 0.7 * len(late)
