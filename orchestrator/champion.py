"""Who leads, and whether to believe it: a champion is believed only after three seeds on the clips kept for confirming.

The numbers of confirmations are judged here and shown to people; no designer ever sees them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from orchestrator.view import Rank, View

SEEDS = (101, 102, 103)  # of the confirmations; explored experiments have another, so these are fresh runs
CANDIDATES = 5  # how many leaders may be refuted one after the other before the lab goes on without a champion
SETTLED = 4  # experiments that must end without a better one before a leader is worth its confirmations
WORTHWHILE = 0.05  # how much better on the first objective a new leader must be than a confirmed one

Status = Literal["candidate", "confirming", "confirmed", "refuted"]


class Standing(msgspec.Struct, frozen=True):
    """The leader: its rank, whether it meets every goal on the score clips, and how far it is confirmed."""

    rank: Rank
    meets: bool
    status: Status

    @property
    def id(self) -> str:
        return self.rank[2]


def standing(view: View, rank: Rank) -> Standing:
    states = view.confirms.get(rank[2], {})
    meets = rank[0] == 0
    fit = {"passed"} if meets else {"passed", "scored"}  # a candidate that missed a goal has only to run as well again
    ended = [state for state in states.values() if state not in ("live", "void")]
    if any(state not in fit for state in ended):
        return Standing(rank, meets, "refuted")
    if len(ended) >= len(SEEDS):
        return Standing(rank, meets, "confirmed")
    return Standing(rank, meets, "confirming" if states else "candidate")


def leader(view: View) -> Standing | None:
    """The best that no confirmation has refuted; None if there is none, or too many leaders were refuted."""
    for rank in view.ranks[:CANDIDATES]:
        found = standing(view, rank)
        if found.status != "refuted":
            return found
    return None


def champion(view: View) -> Standing | None:
    """The best that is confirmed."""
    standings = (standing(view, view.rank_of[id]) for id in view.confirms if id in view.rank_of)
    return min((found for found in standings if found.status == "confirmed"), key=lambda s: s.rank, default=None)


def missing_seeds(view: View, candidate: str) -> list[int]:
    """The seeds whose confirmation has not been started, or said nothing."""
    states = view.confirms.get(candidate, {})
    return [seed for seed in SEEDS if states.get(seed, "void") == "void"]


def worth_confirming(view: View, found: Standing | None, unbeaten: int, exploring: bool) -> bool:
    """Whether to spend three runs on the leader now. `unbeaten` counts experiments that ended since it leads."""
    if found is None or found.status in ("confirmed", "refuted"):
        return False
    if found.status == "confirming" or not exploring:
        return True
    believed = champion(view)
    if believed is not None and believed.meets:
        gain = believed.rank[1] - found.rank[1]
        return found.meets and unbeaten >= SETTLED and gain > WORTHWHILE * abs(believed.rank[1])
    return found.meets and unbeaten >= SETTLED
