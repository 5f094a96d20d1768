"""The central nouns: Spec, Experiment, Attempt, Outcome, and the one table of allowed moves."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from lab.canonical import fingerprint
from lab.space import Value

Purpose = Literal["explore", "confirm", "anchor"]
State = Literal["proposed", "queued", "running", "finished", "cancelled"]
Verdict = Literal["success", "partial", "pruned", "failed"]
Reason = Literal["crash", "timeout", "memory", "disk", "diverged", "refused", "bad_output", "duplicate", "poison",
                 "harness_fault"]
Ending = Literal["finished", "interrupted", "lost", "released"]

JOB_CLASSES = ("cpu", "gpu")  # what a queue is for; a family's spec names its own

MOVES: dict[State, frozenset[State]] = {
    "proposed": frozenset({"queued", "cancelled"}),
    "queued": frozenset({"running", "cancelled", "finished"}),  # finished: nobody could even claim it
    "running": frozenset({"finished", "queued", "cancelled"}),
    "finished": frozenset(),
    "cancelled": frozenset(),
}
LOST_LIMIT = 3  # silent ends of a lease, with nothing new kept in between, before an experiment counts as poison


class TrainingLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How long training lasts: steps repeat anywhere; seconds compare only on the named device class."""

    steps: int | None = None
    seconds: float | None = None
    device_class: str | None = None


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides the result. Its canonical JSON's SHA-256 is the fingerprint."""

    track: str
    family: str
    params: dict[str, Value]
    clips: str  # hash of the Dataset in the store
    seed: int
    protocol: int
    job_class: str = "cpu"
    code: str | None = None  # hash of a code bundle, for agents from outside
    limit: TrainingLimit | None = None

    def fingerprint(self) -> str:
        return fingerprint(self)

    def recipe(self) -> str:
        """What a confirmation confirms: all of it but the clips and the seed."""
        return fingerprint(msgspec.structs.replace(self, clips="", seed=0))


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of footage: its name, content hash, role, and facts read from the file."""

    name: str
    hash: str
    role: Literal["train", "score", "confirm"]
    facts: dict[str, Any] = {}


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A clip set. Its canonical JSON's hash stands in the spec."""

    clips: tuple[Clip, ...]
    schema: int = 1


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """What the score phase measured. A missing number is null and `why` says why; it is never zero.

    `mean` is over the clips, by each metric's own rule; `clips` holds the same names for each clip.
    `artefacts` are files that the phase left (name → hash once stored); `device_class` belongs to timings.
    """

    mean: dict[str, float | None]
    clips: dict[str, dict[str, float | None]]
    why: dict[str, str] = {}
    device_class: str = ""
    artefacts: dict[str, str] = {}
    provenance: dict[str, Literal["measured", "claimed"]] = {}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an experiment ended. One that failed has no scores at all."""

    verdict: Verdict
    reason: Reason | None = None
    detail: str = ""
    scores: Scores | None = None
    sandboxed: bool | None = None  # whether what nobody trusts ran in a sandbox; null in records that are older


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt is held to: written down when its money is reserved, so that its worker runs by the same terms
    by which the daemon watches and bills it, whatever settings are pushed meanwhile."""

    lease_s: float = 60.0
    beat_s: float = 5.0
    grace_s: float = 15.0
    phase_s: float = 600.0
    checkpoint_s: float = 30.0
    interruptions_per_h: float = 0.15  # of a spot machine
    memory_mb: int = 4096
    threads: int = 1
    lost_attempts: int = 20


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt's worker rented: its price follows from type, zone and whether it is a spot machine."""

    id: str
    type: str
    zone: str
    spot: bool


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try by one worker. `fence` grows with every claim; times are the worker's own durations, in seconds.

    `further`: it left something new that the next attempt goes on from.
    """

    fence: int
    worker: str
    device_class: str
    claimed_at: float  # wall clock of the claimer, for people; never compared
    reservation: str = ""
    terms: Terms | None = None  # those of the settings, where it has none
    machine: Machine | None = None  # where it was a rented one
    ending: Ending | None = None
    used_s: float = 0.0
    phases: dict[str, float] = {}
    detail: str = ""
    further: bool = False


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What one phase has left so far: output name → hash. `done` phases are never run again."""

    outputs: dict[str, str]
    done: bool
    seconds: float = 0.0


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration at one operating point per clip."""

    id: str
    spec: Spec
    fingerprint: str
    purpose: Purpose
    designer: str
    state: State = "proposed"
    parents: tuple[str, ...] = ()
    repeats: str | None = None  # the cancelled or faulted experiment that this one runs again
    group: str | None = None  # the candidate that a `confirm` belongs to, or the anchor's name
    hypothesis: str = ""
    prediction: dict[str, float] = {}
    settings: int = 0  # revision of the settings in force
    seen: int = 0  # the last change that its designer saw
    created_at: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    reservation: str | None = None  # the money that waits for, or pays, the current attempt
    terms: Terms | None = None  # for the attempt that the reservation pays
    reservations: int = 0  # how often money was reserved for it, also where no attempt came
    checkpoints: dict[str, Checkpoint] = {}
    outcome: Outcome | None = None
    cost_microusd: int = 0
    schema: int = 1

    @property
    def fence(self) -> int:
        """The current fence: the number of claims so far."""
        return len(self.attempts)

    @property
    def silences(self) -> int:
        """Leases that ended for silence since an attempt last got further: a long training outlives many machines."""
        count = 0
        for attempt in self.attempts:
            count = 0 if attempt.further else count + (attempt.ending == "lost")
        return count

    @property
    def lost(self) -> int:
        """Leases that ended for silence in all."""
        return sum(attempt.ending == "lost" for attempt in self.attempts)
