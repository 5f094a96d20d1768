"""What an attempt may cost at most, what one that ended is billed, and what the levels forbid. All pure."""

from __future__ import annotations

from lab.experiment import Attempt, Experiment, Terms
from lab.money import Level
from lab.settings import Settings
from lab.track import Track


def terms_of(attempt: Attempt, settings: Settings) -> Terms:
    """What the attempt was given; those in force now for one that was reserved before terms were written down."""
    return attempt.terms or settings.limits.terms()


def upper_bound_s(track: Track, experiment: Experiment, terms: Terms) -> float:
    """The longest that an attempt can be billed: its remaining phases at their limits, and a lease that ran out."""
    left = [phase for phase in track.phases(experiment.spec)
            if not (phase.name in experiment.checkpoints and experiment.checkpoints[phase.name].done)]
    return sum(phase.within_s(terms.phase_s) for phase in left) + terms.lease_s + terms.grace_s


def used_s(attempt: Attempt, cancelled: bool, reported_s: float, settings: Settings) -> float:
    """What an attempt that ended is billed. One that vanished, or was ended from outside, counts from its last
    reported use to the end of its lease."""
    if attempt.ending == "lost" or (attempt.ending == "released" and cancelled):
        terms = terms_of(attempt, settings)
        return max(attempt.used_s, reported_s + terms.lease_s + terms.grace_s)
    return attempt.used_s


def training_stops(level: Level, override: bool) -> bool:
    """From HIGH on nothing new is trained, unless a person has said that the levels do not count."""
    return level in ("high", "critical") and not override
