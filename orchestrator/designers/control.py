"""Uniform draws from the search space: the yardstick that any cleverness is held against. It looks at no outcome."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from lab.space import sample
from orchestrator.designers.protocol import Budget, History, Problem, Proposal, ask_rng, point_key

REDRAWS = 200  # for each proposal, before a space counts as used up


class Control:
    name = "control"

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def propose(self, history: History, budget: Budget, count: int, seed: int) -> list[Proposal]:
        rng, tried = ask_rng(seed, self.name, history.proposed), set(history.tried)
        proposals: list[Proposal] = []
        for _ in range(count):
            proposal = draw(self._problem, rng, tried)
            if proposal is None:
                break
            tried.add(point_key(proposal.family, proposal.params))
            proposals.append(proposal)
        return proposals


def draw(problem: Problem, rng: Random, tried: Collection[str]) -> Proposal | None:
    """A point that was not tried: uniform over the families, then over the family's space. None if none was found."""
    for _ in range(REDRAWS):
        family = rng.choice(problem.families)
        params = sample(family.space, rng)
        if point_key(family.name, params) not in tried:
            return Proposal(family=family.name, params=params, hypothesis=f"A uniform draw from {family.name}.")
    return None
