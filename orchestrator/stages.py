"""The stages of a run and what ends each: exploring, then confirming the leader, then draining, then done. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from lab.control import Control
from lab.money import Level
from lab.words import count

OVER_BUDGET = ("the budget is at 95 %; raise it with `aether budget set`, or let a run go on to the cap itself with "
               "`aether budget override`")
Stage = Literal["explore", "confirm", "drain", "done"]
FAULTS = 5  # of the harness in a row: what never can succeed must not be paid for again and again
EXPLORE_SHARE = 0.8  # of a run's minutes; the rest is for confirming the leader, which nobody may skip


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What the decision is made of. Seconds are on the daemon's monotonic clock."""

    stage: Stage
    elapsed_s: float
    minutes: float | None
    control: Control
    level: Level
    override: bool
    starved: bool  # a reservation did not fit and nothing runs that could free money
    quota_done: bool  # the asked number of experiments was proposed, and all have ended
    exhausted: bool  # no designer finds a new point
    goal_reached: bool  # a confirmed champion meets every goal, and that is when to stop
    goal_in_sight: bool  # the leader meets every goal and has stood for a while, and the goal is when to stop
    confirmed: bool  # the leader is confirmed, or there is none to confirm
    running: int
    live: int = 0  # experiments that have not ended, anchors that wait among them
    faults: tuple[str, ...] = ()  # of the harness, one after the other and nothing else between them


class Decision(msgspec.Struct, frozen=True):
    """The next stage, why, and whether running attempts are handed back at once (they go on in a later run)."""

    stage: Stage
    why: str = ""
    release: bool = False


def decide(s: Situation) -> Decision:
    if s.stage in ("drain", "done"):
        return Decision("done") if s.running == 0 else Decision(s.stage)
    ended = _ended(s)
    if ended is not None:
        return ended
    if s.stage == "confirm":
        return Decision("drain", "the run is complete") if s.confirmed and not s.live else Decision("confirm")
    return _explored(s)


def _ended(s: Situation) -> Decision | None:
    """What ends a run at any stage."""
    if s.control.stop:
        return Decision("drain", "a person said stop", release=s.control.stop == "now")
    if s.goal_reached:
        return Decision("drain", "every goal is met by a confirmed champion")
    if s.level == "critical" and not s.override:
        return Decision("drain", OVER_BUDGET, release=True)
    if len(s.faults) >= FAULTS:
        return Decision("drain", f"the harness failed {len(s.faults)} times in a row: {s.faults[-1]}")
    if s.starved:
        return Decision("drain", "the budget is spent: no reservation fits")
    if s.minutes is not None and s.elapsed_s >= s.minutes * 60:
        return Decision("drain", f"{count(s.minutes, 'minute')} {'is' if s.minutes == 1 else 'are'} over", release=True)
    return None


def _explored(s: Situation) -> Decision:
    if s.quota_done:
        return Decision("confirm", "the asked number of experiments has run")
    if s.exhausted:
        return Decision("confirm", "no designer finds a point that has not run")
    if s.minutes is not None and s.elapsed_s >= EXPLORE_SHARE * s.minutes * 60:
        return Decision("confirm", "the time for exploring is over")
    if s.goal_in_sight:
        return Decision("confirm", "the leader meets every goal")
    return Decision("explore")
