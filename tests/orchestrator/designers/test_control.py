"""Control draws uniformly, repeats with its seed, and proposes nothing twice."""

from __future__ import annotations

from collections import Counter

from lab.space import Choice, Real, problems
from lab.track import Family, Objective
from orchestrator.designers.control import Control
from orchestrator.designers.protocol import Budget, History, Problem, Proposal, point_key
from support.planted import SPACE, planted

TINY = Problem(families=(Family(name="one", space=(Choice(name="a", values=(1, 2, 3)),)),
                         Family(name="two", space=(Choice(name="a", values=(True, False)),))),
               objectives=(Objective(metric="m", direction="min", reference=1.0),))


def ask(problem: Problem, history: History | None = None, count: int = 1, seed: int = 0) -> list[Proposal]:
    return Control(problem).propose(history or History(), Budget(), count, seed)


def keys(proposals: list[Proposal]) -> list[str]:
    return [point_key(p.family, p.params) for p in proposals]


def test_every_proposal_is_a_point_of_the_space() -> None:
    for proposal in ask(planted(), count=200):
        assert problems(SPACE, proposal.params) == []


def test_the_same_seed_and_count_repeat_and_another_of_either_does_not() -> None:
    first = ask(planted(), count=3, seed=5)
    assert ask(planted(), count=3, seed=5) == first
    assert ask(planted(), count=3, seed=6) != first
    assert ask(planted(), History(proposed=1), count=3, seed=5) != first


def test_families_are_drawn_alike_and_values_within_a_family_too() -> None:
    wide = Problem(families=(Family(name="one", space=(Real(name="x", low=0, high=1, digits=9),)),
                             Family(name="two", space=(Real(name="x", low=0, high=1, digits=9),))),
                   objectives=TINY.objectives)
    drawn = ask(wide, count=2000)
    assert 900 < Counter(p.family for p in drawn)["one"] < 1100
    assert 900 < sum(float(p.params["x"]) < 0.5 for p in drawn) < 1100


def test_a_point_that_was_tried_is_not_proposed_again() -> None:
    all_points = ask(TINY, count=10)
    assert len(all_points) == 5
    left = ask(TINY, History(tried=tuple(keys(all_points)[:4])), count=3)
    assert keys(left) == keys(all_points)[4:]


def test_a_space_that_is_used_up_gives_no_proposal() -> None:
    assert ask(TINY, History(tried=tuple(keys(ask(TINY, count=10))))) == []
