"""`aether gc`: removes what no experiment needs any more from store, ledger and folder, and says what and how much."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clips import lab_track
from cli.output import DEFAULT_BACKEND, BackendOption, JsonOption, console, emit, open_lab, table
from lab.errors import Damaged, NotFound

if TYPE_CHECKING:
    from lab.backend import Backend, Store
    from lab.control import Change
    from lab.sweep import Marks

LEADERS = 20  # of the best by the goals, whose files are kept though the front may not hold them
PRUNED = "pruned-answers"  # the store's pointer to the last change whose answer was removed


def gc(dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
       grace_h: Annotated[float, typer.Option(min=0, help="Leave alone what is younger, in hours; 0 "
                                              "only while nothing runs.")] = 24.0,
       quota_gb: Annotated[float, typer.Option(min=0, help="Above this size of the store, files of experiments that "
                                               "nobody needs go, the oldest first.")] = 20.0,
       backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Remove what no experiment needs any more. Live experiments, the front, champions and footage stay whole."""
    from lab import pruning, sweep
    from lab.local import leftovers
    lab, now, grace_s = open_lab(backend), time.time(), grace_h * 3600
    seen = lab.ledger.last_change()
    planned = sweep.plan(lab.store.hashes(), marks(lab), now=now, grace_s=grace_s, quota_bytes=round(quota_gb * 1e9))
    answers = pruning.plan_pruning(lab.ledger, pruned_upto(lab.store), now=now, grace_s=grace_s)
    left = _leftovers(lab, now, grace_s)
    removed = list(planned.removals)
    if not dry_run:
        removed = sweep.sweep(lab.store, planned, _changes(lab, seen))
        _remember(lab, answers.upto)  # first: what is remembered as pruned need not be gone, but not the other way
        pruning.prune(lab.ledger, answers)
        running = _running(lab)  # again: a worker may have claimed one since
        for path, _ in left:
            if path.name not in running:
                leftovers.remove(path)
    if json:
        sizes = {"kept": planned.kept_bytes, "cache": planned.cache_bytes, "young": planned.young_bytes}
        emit({"dry_run": dry_run, "removed": removed, "leftovers": [(str(path), size) for path, size in left],
              "answers": len(answers.answers), "heartbeats": len(answers.beats), "bytes": sizes})
        return
    rows = [_row(f"files nothing names, older than {grace_h:g} h",
                 [r.bytes for r in removed if r.retention == "scratch"]),
            _row(f"files of experiments nobody needs, over {quota_gb:g} GB",
                 [r.bytes for r in removed if r.retention == "cache"]),
            _row("leftovers of processes that died", [size for _, size in left]),
            ("answers to calls nobody repeats", str(len(answers.answers)), ""),
            ("heartbeats of attempts that are over", str(len(answers.beats)), "")]
    console().print(table("would go" if dry_run else "removed", "count", "size", right=("count", "size"), rows=rows))
    console().print(f"stays: {megabytes(planned.kept_bytes)} needed, {megabytes(planned.cache_bytes)} of ended "
                    f"experiments, {megabytes(planned.young_bytes)} younger than the grace period", markup=False)


def _row(what: str, sizes: list[int]) -> tuple[str, str, str]:
    return what, str(len(sizes)), megabytes(sum(sizes))


def pruned_upto(store: Store) -> int:
    """The last change whose answer an earlier sweep removed."""
    told = store.pointer(PRUNED) or "0"
    if not told.isdecimal():
        raise Damaged(f"the pointer {PRUNED} of the store is damaged; remove it, then `aether gc`")
    return int(told)


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.2f} GB"


def marks(lab: Backend) -> Marks:
    """What of the store is needed, and what may go."""
    from lab import clipset, sweep
    from orchestrator.planner import clip_sets
    roots = {hash for hash in [lab.store.pointer(clipset.POINTER)] if hash}
    try:
        sets = clip_sets(lab.store)
        roots |= {sets.explore, sets.confirm}
    except NotFound:  # no footage yet
        pass
    roots |= {idea.code for idea in lab.ledger.office.ideas() if idea.code}
    reports = lab.ledger.office.reports(limit=100_000)
    return sweep.mark(lab.ledger.all_experiments(), reports, _treasured(lab), roots, sweep.footage_of(lab.store))


def _treasured(lab: Backend) -> set[str]:
    """The front, the leaders with their confirmations, the anchors, and all that these come from."""
    from agents.gather import objectives_of, settings_in_force
    from lab.judging.pareto import Point, front
    from lab.settings import goals_of
    from orchestrator.view import View
    track = lab_track(lab)
    view = View(track, goals_of(settings_in_force(lab.ledger), track))
    view.load(lab.ledger)
    wanted = {rank.id for rank in view.ranks[:LEADERS]} | set(view.anchor_ids.values())
    points, parents, groups = list[Point](), dict[str, tuple[str, ...]](), dict[str, str | None]()
    for experiment in lab.ledger.all_experiments():
        parents[experiment.id], groups[experiment.id] = experiment.parents, experiment.group
        wanted |= {experiment.group} if experiment.purpose == "confirm" and experiment.group else set()
        scores = experiment.outcome.scores if experiment.outcome and experiment.purpose == "explore" else None
        values = objectives_of(scores, track) if scores else None
        points += [Point(experiment.id, values)] if values else []
    wanted |= {point.id for point in front(points, track.objectives)}
    wanted |= {id for id, group in groups.items() if group in wanted}
    return _with_ancestors(wanted, parents)


def _with_ancestors(ids: set[str], parents: Mapping[str, tuple[str, ...]]) -> set[str]:
    found, waiting = set[str](), list(ids)
    while waiting:
        id = waiting.pop()
        if id not in found:
            found.add(id)
            waiting += parents.get(id, ())
    return found


def _changes(lab: Backend, since: int) -> Iterator[Change]:
    while page := lab.ledger.changes(since):
        yield from page
        since = page[-1].n


def _leftovers(lab: Backend, now: float, grace_s: float) -> list[tuple[Path, int]]:
    if lab.workplace is None:
        return []
    from lab.local.leftovers import leftovers, size_of
    return [(path, size_of(path)) for path in leftovers(lab.workplace, _running(lab), now=now, grace_s=grace_s)]


def _running(lab: Backend) -> set[str]:
    """The attempts that own their scratch folders, as ID.FENCE."""
    return {f"{experiment.id}.{experiment.fence}" for experiment in lab.ledger.all_experiments("running")}


def _remember(lab: Backend, upto: int) -> None:
    """How far answers are pruned, so that the doctor misses none of them."""
    before = lab.store.pointer(PRUNED)
    if str(upto) != (before or "0"):
        lab.store.swap(PRUNED, before, str(upto))
