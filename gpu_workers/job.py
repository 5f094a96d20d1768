"""One attempt, as its worker sees it: what was claimed, under which terms, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gpu_workers.live import Live
from gpu_workers.runner import Running
from gpu_workers.workspace import Workspace
from lab.backend import Message
from lab.experiment import Experiment, Outcome, Terms
from lab.track import Phase, Track


@dataclass
class Job:
    message: Message
    queue: str
    experiment: Experiment
    fence: int
    terms: Terms
    track: Track
    workspace: Workspace
    live: Live
    started: float
    acknowledged: float  # when a heartbeat was last known to have arrived
    next_beat: float
    beats: int = 0
    phase: Phase | None = None
    running: Running | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    requests: dict[str, float] = field(default_factory=dict)  # of the process, as of its last heartbeat
    waited_s: float = 0.0  # for the machine, in phases that have ended
    outcome: Outcome | None = None
