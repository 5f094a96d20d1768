"""Where work runs: all of it on one machine, or on an account's fleets, a job class each.

What learns is of the class `gpu` on an account, since the machines of that fleet alone have what it needs; so classic
encoders burn no GPU hours. On a machine of one's own everything is of one class, or what learns is where its person
says (`training.job_class`): only in boxes of the class `gpu` is a graphics processor to be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from lab.experiment import Experiment
from lab.settings import Settings
from lab.track import Family, Track

NO_FLEETS: Mapping[str, int] = MappingProxyType({})
WAITING = 1  # experiments beyond the machines of a fleet, so that none is without work for a round


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """`fleets` are the machines that each class may have at most; nothing where nobody has told."""

    rented: bool = False
    fleets: Mapping[str, int] = NO_FLEETS

    def job_class(self, family: Family, settings: Settings, *, needs: Iterable[str] = ()) -> str:
        """Of this family's work; of code from outside, what of the track's packages it `needs`."""
        if not (family.learned or any(needs)):
            return family.job_class
        return "gpu" if self.rented else settings.training.job_class or family.job_class

    def may_run(self, family: Family, settings: Settings) -> bool:
        """Whether there are machines for it. On an account they are other ones than this, with what it needs."""
        if not self.rented:
            return not family.missing()
        return self.fleets.get(self.job_class(family, settings), 1) > 0

    def room(self, job_class: str, live: Iterable[Experiment], workers: int) -> bool:
        """Whether its fleet could take one more, or soon; else the others' turn would wait for a machine that does not
        come (a new account may run none with a graphics processor). The settings' `workers` may be a person's own."""
        machines = self.fleets.get(job_class)
        if machines is None:
            return True
        most = max(machines, workers) + WAITING
        return machines > 0 and sum(one.spec.job_class == job_class for one in live) < most


HERE = Places()


def needed(track: Track) -> frozenset[str]:
    """The packages that only machines for learning have."""
    return frozenset(name for family in track.families for name in family.needs)
