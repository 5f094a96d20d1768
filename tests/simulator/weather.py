"""What goes wrong in a world, and how often: drawn from its seed, so that worlds differ in kind and not only in detail.

Each rate is the chance of that fault at one opportunity. About a third of the kinds is absent from each world, since
faults that always come together hide each other.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple


class Weather(NamedTuple):
    """Chances, by opportunity; all zero is calm."""

    reply_lost: float = 0.0  # a transaction is committed, and its caller is told that the backend is away
    request_lost: float = 0.0  # it never arrived
    request_late: float = 0.0  # the caller gives up, and it lands afterwards (where nothing locks others out)
    interleaved: float = 0.0  # another process comes between a decision's reads and its commit
    stalled: float = 0.0  # a daemon stands still there, for up to a few lease times
    killed_at_write: float = 0.0
    killed_at_file: float = 0.0
    message_lost: float = 0.0
    message_doubled: float = 0.0
    message_late: float = 0.0
    disk_full: float = 0.0
    phase_crash: float = 0.0
    phase_hang: float = 0.0
    nothing_left: float = 0.0  # a phase leaves no output
    bad_scores: float = 0.0  # not a number, no JSON, or an infinite one
    garbage_proposal: float = 0.0
    deadly: float = 0.0  # a configuration that takes its worker down, wherever it runs
    reporter_dies: float = 0.0
    step_late: float = 0.0  # a process is not scheduled for a while


CALM = Weather()
STORM = Weather(
    reply_lost=0.01, request_lost=0.01, request_late=0.01, interleaved=0.03, stalled=0.005, killed_at_write=0.002,
    killed_at_file=0.001, message_lost=0.1, message_doubled=0.1, message_late=0.1, disk_full=0.002, phase_crash=0.05,
    phase_hang=0.03, nothing_left=0.03, bad_scores=0.05, garbage_proposal=0.15, deadly=0.01, reporter_dies=0.3,
    step_late=0.01)


def drawn(rng: Random) -> Weather:
    return Weather(*(rate * rng.uniform(0.3, 2.0) if rng.random() < 0.7 else 0.0 for rate in STORM))


class Rhythm(NamedTuple):
    """Mean seconds between what happens to the house as a whole."""

    worker_killed: float
    worker_noticed: float  # told to go, as a spot machine is
    daemon_killed: float
    power_cut: float
    suspended: float
    clock_jumps: float
    cut_off: float  # a process cannot reach the backend for a while
    person: float
    meddler: float
    rival: float  # a second daemon
    daemon_told: float  # to hand over, as a machine that is replaced tells it


def rhythm(rng: Random) -> Rhythm:
    means = Rhythm(700, 900, 900, 2500, 2500, 900, 700, 250, 80, 400, 900)
    return Rhythm(*(mean * rng.uniform(0.5, 2.0) if rng.random() < 0.75 else float("inf") for mean in means))
