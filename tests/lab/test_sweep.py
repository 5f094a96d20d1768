"""The sweep: what anything needs stays, the rest goes by age and quota, and a race with a writer loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from lab.canonical import canonical_json
from lab.clock import SystemClock
from lab.control import Beat, Report
from lab.experiment import Checkpoint, Clip, Dataset, Experiment, Scores
from lab.local.leftovers import leftovers, remove, size_of
from lab.local.store import FileStore
from lab.local.table import SqliteTable
from lab.pruning import RECENT_CHANGES, plan_pruning, prune
from lab.sweep import GRACE_S, LATEST_REPORTS, Marks, footage_of, mark, plan, sweep
from support.laboratory import SUCCESS, Laboratory, experiment, spec

NOW, OLD = 1_000_000.0, 1_000_000.0 - GRACE_S - 1


def left(id: str, *hashes: str, **fields: object) -> Experiment:
    """An experiment whose one phase left these files."""
    outputs = {f"file{nth}": hash for nth, hash in enumerate(hashes)}
    given = replace(spec(id=id), clips=f"clips of {id}")
    return experiment(id, given, checkpoints={"p": Checkpoint(outputs=outputs, done=True)}, **fields)


def marked(*experiments: Experiment, treasured: Sequence[str] = (), reports: Sequence[Report] = ()) -> Marks:
    return mark(experiments, reports, treasured, ["root"], lambda dataset: [f"footage of {dataset}"])


@pytest.mark.parametrize("state", ["proposed", "queued", "running"])
def test_what_a_live_experiment_left_is_kept_with_its_footage(state: str) -> None:
    marks = marked(left("e1", "a", state=state))
    assert {"a", "clips of e1", "footage of clips of e1", "root"} <= marks.keep


def test_what_an_ended_experiment_left_is_cache_unless_it_is_treasured() -> None:
    two = [left(id, id.upper(), state="finished", outcome=SUCCESS, created_at=5.0) for id in ("e1", "e2")]
    marks = marked(*two, treasured=["e1"])
    assert marks.retention("E1") == "keep"
    assert marks.retention("E2") == "cache"
    assert marks.cache["footage of clips of e2"] == 5.0


def test_what_two_share_is_kept_for_the_one_that_needs_it() -> None:
    marks = marked(left("e1", "a", state="finished"), left("e2", "a", state="running"))
    assert marks.retention("a") == "keep"


def test_thumbnails_and_frames_of_a_result_are_named_by_its_scores() -> None:
    scored = replace(SUCCESS, scores=Scores(mean={}, clips={}, artefacts={"frames.json": "f"}))
    assert marked(left("e1", state="finished", outcome=scored), treasured=["e1"]).retention("f") == "keep"


def test_what_a_cancelled_experiment_had_begun_is_scratch() -> None:
    assert marked(left("e1", "a", state="cancelled")).retention("a") == "scratch"


def test_pages_of_the_latest_reports_are_kept_and_older_ones_are_cache() -> None:
    reports = [Report(key=str(n), subject="", text="", html=f"page{n}", at=100.0 - n)
               for n in range(LATEST_REPORTS + 1)]
    marks = marked(reports=reports)
    assert marks.retention("page0") == "keep"
    assert marks.retention(f"page{LATEST_REPORTS}") == "cache"


def test_scratch_goes_once_it_is_older_than_the_grace_period() -> None:
    marks = Marks(frozenset({"k"}), {"c": 1.0})
    found = plan([("k", 1, OLD), ("c", 2, OLD), ("old", 4, OLD), ("young", 8, NOW - 5), ("future", 16, NOW + 5)], marks,
                 now=NOW)
    assert [removal.hash for removal in found.removals] == ["old"]
    assert (found.kept_bytes, found.cache_bytes, found.young_bytes) == (1, 2, 24)


def test_over_the_quota_cache_goes_from_the_oldest_on_and_only_as_much_as_must() -> None:
    marks = Marks(frozenset({"k"}), {"first": 1.0, "second": 2.0, "third": 3.0})
    objects = [("k", 50, OLD), ("third", 10, OLD), ("first", 10, OLD), ("second", 10, OLD)]
    assert [r.hash for r in plan(objects, marks, now=NOW, quota_bytes=65).removals] == ["first", "second"]
    assert plan(objects, marks, now=NOW, quota_bytes=80).removals == ()
    assert len(plan(objects, marks, now=NOW, quota_bytes=0).removals) == 3


def test_what_was_named_after_the_marking_survives_the_sweep(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    wanted, unwanted = store.put_bytes(b"wanted"), store.put_bytes(b"unwanted")
    found = plan(store.hashes(), Marks(frozenset(), {}), now=NOW * 1e6)
    laboratory = Laboratory(SqliteTable(":memory:"))
    before = laboratory.ledger.last_change()
    id, fence = laboratory.start()
    laboratory.ledger.checkpointed(id, fence, "p", Checkpoint(outputs={"a": wanted}, done=True), op_id="x")
    gone = sweep(store, found, laboratory.ledger.changes(before))
    assert [removal.hash for removal in gone] == [unwanted]
    assert store.has(wanted)
    assert not store.has(unwanted)


def test_footage_is_read_from_a_dataset_and_from_nothing_else(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    dataset = store.put_bytes(canonical_json(Dataset(clips=(Clip(name="a", hash="h", role="score"),))))
    assert footage_of(store)(dataset) == ["h"]
    assert footage_of(store)(store.put_bytes(b"\x00video")) == []
    assert footage_of(store)("0" * 64) == []


def test_scratch_of_dead_attempts_and_old_half_written_files_are_left_over(tmp_path: Path) -> None:
    for name in ("scratch/e1.1/in/a", "scratch/e1.2/out/b", "store/objects/ab/.aside-1", "outbox/x.aside", "other.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    now = (tmp_path / "other.txt").stat().st_mtime + GRACE_S + 10
    found = leftovers(tmp_path, {"e1.2"}, now=now, grace_s=GRACE_S)
    assert {str(path.relative_to(tmp_path)) for path in found} == {"store/objects/ab/.aside-1", "outbox/x.aside",
                                                                     "scratch/e1.1"}
    assert sum(size_of(path) for path in found) == 15
    for path in found:
        remove(path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["b", "other.txt"]


def test_a_half_written_file_is_left_to_its_writer_while_it_is_young(tmp_path: Path) -> None:
    (tmp_path / "x.aside").write_bytes(b"1")
    assert leftovers(tmp_path, (), now=(tmp_path / "x.aside").stat().st_mtime + 5, grace_s=GRACE_S) == []


def test_old_answers_go_and_a_second_pruning_goes_on_from_there() -> None:
    laboratory = Laboratory(SqliteTable(":memory:"))
    for nth in range(RECENT_CHANGES + 10):
        laboratory.office.set_control(paused=nth % 2 == 0, op_id=f"say{nth}")
    ledger = laboratory.ledger
    later = SystemClock().wall() + GRACE_S + 10
    found = plan_pruning(ledger, 0, now=later, grace_s=GRACE_S)
    assert found.upto == ledger.last_change() - RECENT_CHANGES
    prune(ledger, found)
    assert ledger.table.get("op", found.answers[0]) is None
    assert ledger.table.get("op", f"say{RECENT_CHANGES}") is not None
    assert plan_pruning(ledger, found.upto, now=later, grace_s=GRACE_S).answers == ()


def test_no_answer_goes_while_it_is_young_or_its_experiment_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.pruning.RECENT_CHANGES", 0)
    laboratory = Laboratory(SqliteTable(":memory:"))
    first = laboratory.end()
    laboratory.propose()
    ledger, later = laboratory.ledger, SystemClock().wall() + GRACE_S + 10
    assert plan_pruning(ledger, 0, now=later - 20, grace_s=GRACE_S).answers == ()
    upto = plan_pruning(ledger, 0, now=later, grace_s=GRACE_S).upto
    assert ledger.changes(upto, 1)[0].action == "propose"
    assert upto == ledger.last_change() - 1
    assert ledger.experiment(first).state == "finished"


def test_heartbeats_go_once_their_attempt_is_over_and_paid() -> None:
    laboratory = Laboratory(SqliteTable(":memory:"))
    ended, running, unpaid = (laboratory.start()[0] for _ in range(3))
    for id in (ended, running, unpaid):
        laboratory.ledger.beat(id, Beat(fence=1, n=1))
    laboratory.office.beat_daemon(laboratory.epoch, 1)
    for id in (ended, unpaid):
        laboratory.finish(id, 1)
    laboratory.settle(f"{ended}.1")
    assert plan_pruning(laboratory.ledger, 0, now=NOW, grace_s=GRACE_S).beats == (f"{ended}.1",)


def test_a_ledger_goes_on_after_a_pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.pruning.RECENT_CHANGES", 0)
    laboratory = Laboratory(SqliteTable(":memory:"))
    laboratory.end()
    found = plan_pruning(laboratory.ledger, 0, now=SystemClock().wall() + 2 * GRACE_S, grace_s=GRACE_S)
    assert found.upto == laboratory.ledger.last_change()
    prune(laboratory.ledger, found)
    assert laboratory.ledger.experiment(laboratory.end()).state == "finished"
