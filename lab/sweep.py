"""Mark and sweep of the store: what it may forget, decided from the ledger. Pure but for the sweep itself.

`keep`: what live experiments, the front, champions and their lineage, the footage and the latest reports need; never
removed. `cache`: what ended experiments left; removed from the oldest on when the store is over its quota. `scratch`:
what nothing names; removed once it is older than the grace period, which covers files that are stored a moment before
the ledger names them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal

import msgspec

from lab.backend import Store
from lab.control import Change, Report
from lab.errors import AetherError
from lab.experiment import Dataset, Experiment
from lab.objects import read_as

Retention = Literal["keep", "cache", "scratch"]
GRACE_S = 24 * 3600.0
LATEST_REPORTS = 48  # whose pages are kept
ENDED = ("finished", "cancelled")


class Marks(msgspec.Struct, frozen=True):
    """`keep` are hashes; `cache` are hashes with when they were last of use."""

    keep: frozenset[str]
    cache: dict[str, float]

    def retention(self, hash: str) -> Retention:
        return "keep" if hash in self.keep else "cache" if hash in self.cache else "scratch"


class Removal(msgspec.Struct, frozen=True):
    hash: str
    bytes: int
    retention: Retention


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What goes, and how many bytes of each retention stay. `young` is scratch within its grace period; what was stored
    after `before` is not taken, also if it was stored again since this was planned."""

    removals: tuple[Removal, ...]
    before: float
    kept_bytes: int
    cache_bytes: int
    young_bytes: int


def mark(experiments: Iterable[Experiment], reports: Sequence[Report], treasured: Collection[str],
         roots: Iterable[str], footage: Callable[[str], Sequence[str]]) -> Marks:
    """`treasured` are ids whose files are kept, `roots` further hashes; `footage(dataset)` gives its clips' hashes.
    `reports` stand newest first."""
    keep, cache = set(roots), dict[str, float]()
    for experiment in experiments:
        wanted = experiment.state not in ENDED or experiment.id in treasured
        for hash in needs(experiment):
            if wanted:
                keep.add(hash)
            else:
                cache[hash] = max(cache.get(hash, 0.0), experiment.created_at)
    for nth, report in enumerate(reports):
        if report.html and nth < LATEST_REPORTS:
            keep.add(report.html)
        elif report.html:
            cache[report.html] = report.at
    for dataset in list(keep):
        keep.update(footage(dataset))
    for dataset, at in list(cache.items()):
        cache |= {clip: max(at, cache.get(clip, 0.0)) for clip in footage(dataset)}
    return Marks(frozenset(keep), {hash: at for hash, at in cache.items() if hash not in keep})


def needs(experiment: Experiment) -> set[str]:
    """Everything in the store that this experiment names. What a cancelled one had begun is of no use to anybody."""
    spec = experiment.spec
    named = {spec.clips, spec.code}
    if experiment.state != "cancelled":
        named |= {hash for checkpoint in experiment.checkpoints.values() for hash in checkpoint.outputs.values()}
    if experiment.outcome is not None and experiment.outcome.scores is not None:
        named |= set(experiment.outcome.scores.artefacts.values())
    return {hash for hash in named if hash}


def plan(objects: Iterable[tuple[str, int, float]], marks: Marks, *, now: float, grace_s: float = GRACE_S,
         quota_bytes: int | None = None) -> Plan:
    """`objects` are (hash, bytes, stored at). A time in the future, after a clock went back, counts as young."""
    sizes: dict[Retention, int] = {"keep": 0, "cache": 0, "scratch": 0}
    removals, removable = list[Removal](), list[tuple[float, str, int]]()
    for hash, size, stored_at in objects:
        retention, old = marks.retention(hash), now - stored_at >= grace_s
        if retention == "scratch" and old:
            removals.append(Removal(hash, size, "scratch"))
            continue
        sizes[retention] += size
        if retention == "cache" and old:
            removable.append((marks.cache[hash], hash, size))
    over = sum(sizes.values()) - quota_bytes if quota_bytes is not None else 0
    for _, hash, size in sorted(removable):
        if over <= 0:
            break
        removals.append(Removal(hash, size, "cache"))
        sizes["cache"] -= size
        over -= size
    return Plan(removals=tuple(removals), before=now - grace_s, kept_bytes=sizes["keep"], cache_bytes=sizes["cache"],
                young_bytes=sizes["scratch"])


def sweep(store: Store, planned: Plan, since: Iterable[Change]) -> list[Removal]:
    """Remove what is planned, but for what changes made since the marking name; gives what went."""
    named = {hash for change in since for image in change.records if image.kind == "experiment"
             for hash in needs(msgspec.json.decode(image.body, type=Experiment))}
    return [removal for removal in planned.removals
            if removal.hash not in named and store.retire(removal.hash, planned.before)]


def footage_of(store: Store) -> Callable[[str], Sequence[str]]:
    """Reads the clips of a dataset; none where the hash stands for something else, or is not to be had."""
    def clips(hash: str) -> Sequence[str]:
        try:
            return [clip.hash for clip in read_as(store, hash, Dataset, "clip set").clips]
        except AetherError:
            return []
    return clips
