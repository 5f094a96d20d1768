"""The rule of `lab/judging/champion.py` over the daemon's view, and when a leader is worth its confirmations.

The numbers of confirmations are judged here and shown to people; no designer ever sees them.
"""

from __future__ import annotations

from lab.judging import champion as rule
from lab.judging.champion import Standing as Standing
from orchestrator.view import View

SETTLED = 4  # experiments that must end without a better one before a leader is worth its confirmations
WORTHWHILE = 0.05  # how much better on the first objective a new leader must be than a confirmed one


def leader(view: View) -> Standing | None:
    """The best that no confirmation has refuted; None if there is none, or too many leaders were refuted."""
    return rule.leader(view.ranks, view.confirms)


def champion(view: View) -> Standing | None:
    """The best that is confirmed."""
    return rule.champion(view.ranks, view.confirms)


def refuted(view: View, recipe: str) -> bool:
    """Whether every candidate of this recipe is refuted, so that its other confirmations would tell nothing new."""
    candidates = [rank for rank in view.ranks if rank.recipe == recipe]
    states = view.confirms.get(recipe, {})
    return bool(candidates) and all(rule.standing(rank, states).status == "refuted" for rank in candidates)


def missing_seeds(view: View, recipe: str) -> list[int]:
    """The seeds whose confirmation has not been started, or said nothing."""
    return rule.missing_seeds(view.confirms.get(recipe, {}))


def worth_confirming(view: View, found: Standing | None, unbeaten: int, exploring: bool) -> bool:
    """Whether to spend three runs on the leader now. `unbeaten` counts experiments that ended since it leads."""
    if found is None or found.status in ("confirmed", "refuted"):
        return False
    if found.status == "confirming":
        return True
    believed = champion(view)
    if believed is not None and believed.meets:
        gain = believed.rank.loss - found.rank.loss
        return found.meets and gain > WORTHWHILE * abs(believed.rank.loss) and (unbeaten >= SETTLED or not exploring)
    return not exploring or (found.meets and unbeaten >= SETTLED)


class Lead:
    """Who leads, and since when."""

    def __init__(self) -> None:
        self._id, self._ended = "", 0

    def unbeaten(self, view: View, ahead: Standing) -> int:
        """How many experiments have ended since the present leader leads."""
        if ahead.id != self._id:
            self._id, self._ended = ahead.id, len(view.ended)
        return len(view.ended) - self._ended
