"""The live checkpoints of one attempt: when to look for the next, what of it is not yet in the store, which may go.

On a machine of one's own a look comes every `checkpoint_s`. On a spot machine keeping one is weighed against losing
work, by what the looks took so far. Either way no more is lost without notice than one interval.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from gpu_workers.collect import NotCollected
from gpu_workers.interruption import checkpoint_interval_s
from gpu_workers.runner import Running
from gpu_workers.workspace import Workspace
from lab.backend import Store
from lab.errors import Unavailable
from lab.experiment import Terms
from lab.track import Phase

log = structlog.get_logger("worker")


@dataclass
class Live:
    """`experiment` is whose they are; `spot` says whether this machine may be taken away."""

    experiment: str
    workspace: Workspace
    terms: Terms
    spot: bool
    now: Callable[[], float]
    taken: int = 0
    _taking_s: float = 0.0  # all that keeping those took, until the record named them
    _begun: float = 0.0  # the last look
    _next: float = 0.0
    _bare_since: float | None = None  # that there has been nothing to go on from
    _fetched: bool = False  # one that lies with us, and not yet in the store
    _complained: bool = False  # of a live output that is no checkpoint: once is enough
    _named: set[str] = field(default_factory=set)  # what the record names, has named, or may come to name

    def begin(self, resumed: str | None) -> None:
        """A phase starts, from this one if any."""
        self._next, self._fetched = self.now() + self._pause_s(), False
        self._bare_since = self.now() if resumed is None else None
        if resumed is not None:
            self._named.add(resumed)

    @property
    def due(self) -> bool:
        return self.now() >= self._next

    @property
    def bare_s(self) -> float:
        """How long the phase has run without anything to go on from."""
        return 0.0 if self._bare_since is None else self.now() - self._bare_since

    def take(self, phase: Phase, running: Running) -> dict[str, str] | None:
        """What the phase could go on from, stored, if it has left anything new since the last look. One that could not
        be stored for now is offered again at the next."""
        self._begun = self.now()
        self._next = self._begun + self._pause_s()
        try:
            self._fetched |= running.fetch_live(phase.live)
            if not self._fetched:
                self._next = self._begun  # as soon as there is one, so that what is kept is fresh
                return None
            kept = self.workspace.keep_live(phase)
        except (NotCollected, OSError) as wrong:  # or no room of ours; it costs a checkpoint, and not the attempt
            if not self._complained:
                log.warning("no checkpoint", experiment=self.experiment, phase=phase.name, why=str(wrong))
            self._complained, self._fetched = True, False
            return None
        self._named.update(kept.values())
        self.taken, self._bare_since = self.taken + 1, None
        return kept

    def recorded(self) -> None:
        """The record names what was taken last."""
        self._fetched = False
        self._taking_s += self.now() - self._begun

    def retire(self, kept: Collection[str], store: Store, before: float) -> None:
        """Once the record is known to name `kept`, the live ones before it are nobody's. One that cannot be removed
        holds nothing up: the next look tries again, and then `aether gc`."""
        for hash in sorted(self._named.difference(kept)):
            with suppress(Unavailable):
                store.retire(hash, before)  # not if an attempt that came after us has stored the very same
                self._named.discard(hash)

    def _pause_s(self) -> float:
        """To the next look. The newest that it finds may be older by the phase's own clock, so that much sooner."""
        least_s = self.terms.checkpoint_s
        if not self.spot or not self.taken:
            return least_s
        interval_s = checkpoint_interval_s(self._taking_s / self.taken, self.terms.interruptions_per_h, least_s)
        return max(least_s, interval_s - least_s)
