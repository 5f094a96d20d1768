"""A phase in its box as the worker sees it: claims, log, outputs, its turn on the machine, checkpoints, and its end."""

from __future__ import annotations

import errno
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from gpu_workers.collect import NotCollected
from gpu_workers.machine import MachineLock, Seat
from gpu_workers.phase import BoundClip, PhaseRequest
from gpu_workers.runner import NO_BOX, PhaseEnd, ProcessRunner, Running
from gpu_workers.sandbox.runner import BoxRunner
from lab.experiment import Spec
from support.boxes import finish, need_sandbox, start
from support.phases import HELD_MB
from support.servers import children

SPEC = Spec(track="curve", family="line", params={"x": 3}, clips="c" * 64, seed=1, protocol=1)


def run(entry: str, out: Path, outputs: tuple[str, ...] = (), limit_s: float = 60.0, **how: object) -> Running:
    need_sandbox()
    out.mkdir(parents=True, exist_ok=True)
    request = PhaseRequest(entry=f"support.phases:{entry}", spec=SPEC, out=str(out), outputs=outputs,
                           machine_lock=str(out.parent / "machine"))
    return BoxRunner().start(msgspec.structs.replace(request, **how), limit_s, 1024)


def ended(running: Running) -> PhaseEnd:
    while (end := running.poll()) is None:
        time.sleep(0.005)
    return end


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads take turns so often that what they do at once does meet."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_phase_that_works_is_done_and_its_claims_log_and_outputs_come_out(tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.write_text("footage")
    bound = BoundClip(name="walk", hash="0" * 64, role="score", path=str(clip))
    running = run("fit", tmp_path / "out", ("result.txt",), clips=(bound,), threads=2)
    end = ended(running)
    assert end.reason is None, end
    assert running.progress() == [{"step": 1, "loss": None, "note": "started"}]
    assert end.log == "a stray print is log, not progress\n"
    assert (tmp_path / "out" / "result.txt").read_text() == "3 1 2"
    assert 0.05 < end.cpu_s < 30
    assert children() == []


def test_the_peak_memory_of_one_that_lasts_is_told(tmp_path: Path) -> None:
    peak_mb = ended(run("hold_memory", tmp_path / "out", ())).peak_mb
    assert peak_mb is not None
    assert HELD_MB < peak_mb < HELD_MB + 200


@pytest.mark.parametrize(("entry", "reason", "detail"), [
    ("refuse", "bad_output", "line gave 3 frames of 4"),
    ("crash", "crash", "KeyError: 'lost'"),
    ("exhaust", "memory", "out of memory"),
])
def test_a_failure_has_its_reason(tmp_path: Path, entry: str, reason: str, detail: str) -> None:
    end = ended(run(entry, tmp_path / "out"))
    assert (end.reason, end.detail) == (reason, detail)


def test_one_that_the_kernel_ends_for_want_of_memory_is_not_blamed_for_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = ended(run("end_itself", tmp_path / "own"))
    assert (end.reason, end.detail) == ("crash", "killed by signal 9 (Killed)")
    kills = iter((3, 4))
    monkeypatch.setattr("gpu_workers.sandbox.boxed_phase.kernel_kills", lambda: next(kills))
    assert ended(run("end_itself", tmp_path / "kernel")).reason == "harness_fault"


def test_kill_returns_when_nothing_runs_any_more(tmp_path: Path) -> None:
    running = start("hang", tmp_path / "out")
    while not running.progress():
        assert running.poll() is None
    running.kill()
    assert children(recursive=True) == []
    assert ended(running).detail == "stopped by the worker"


def test_a_box_that_cannot_be_made_is_no_fault_of_the_candidate(tmp_path: Path) -> None:
    end = ended(run("fit", tmp_path / "out", inputs={"weights": str(tmp_path / "gone")}))
    assert end.reason == "harness_fault"


def test_code_from_outside_cannot_blame_the_house(tmp_path: Path) -> None:
    blames_us = run("blame_the_house", tmp_path / "own")
    assert ended(blames_us).reason == "harness_fault", "an original that cannot be read is ours"
    outside = run("blame_the_house", tmp_path / "outside", spec=msgspec.structs.replace(SPEC, code="c" * 64))
    assert ended(outside).reason == "crash"
    assert ended(run("fail_in_no_words", tmp_path / "mute")).reason == "crash"


@pytest.mark.parametrize(("reason", "believed"), [
    ("diverged", True), ("refused", True), ("memory", True), ("bad_output", True),
    ("poison", False), ("duplicate", False), ("timeout", False)])
def test_what_we_alone_can_know_is_not_believed(tmp_path: Path, reason: str, believed: bool) -> None:
    for code in (None, "c" * 64):
        spec = msgspec.structs.replace(SPEC, code=code, params={"reason": reason})
        end = ended(run("tell", tmp_path / str(code), spec=spec))
        assert (end.reason, end.detail) == (reason if believed else "crash", "so it says")


def test_without_a_sandbox_code_from_outside_is_refused_and_may_run_elsewhere(tmp_path: Path) -> None:
    foreign = PhaseRequest(entry="support.phases:fit", spec=msgspec.structs.replace(SPEC, code="c" * 64),
                           out=str(tmp_path))
    for request in (foreign, msgspec.structs.replace(foreign, trusted=True)):  # which would decode by that code
        end = ended(ProcessRunner().start(request, 60, 1024))
        assert (end.reason, end.detail) == ("harness_fault", NO_BOX)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_whole_though_its_box_fights_the_freeze(tmp_path: Path) -> None:
    """Children wake whatever is stopped, and the file is replaced all the time."""
    running = start("fight_a_freeze", tmp_path / "out", memory_mb=1024)
    while not running.progress():
        assert running.poll() is None
    steps = []
    for _ in range(5):
        assert running.fetch_live("live"), running.poll()
        words = (tmp_path / "out" / "live").read_bytes()
        assert len(words) == 8 * 200_000
        assert words == words[:8] * 200_000
        steps.append(struct.unpack_from("<q", words)[0])
        assert running.poll() is None, "it went on"
        time.sleep(0.3)
    assert steps == sorted(set(steps))
    running.kill()


def test_a_checkpoint_that_our_disk_has_no_room_for_is_none_and_stops_nobody(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")
    running = run("leave_once_and_wait", tmp_path / "out")
    while not running.progress():
        assert running.poll() is None
    monkeypatch.setattr("gpu_workers.sandbox.boxed_phase.take", full)
    assert not running.fetch_live("live")
    assert running.poll() is None, "it goes on"
    running.kill()


def test_a_checkpoint_that_is_too_large_is_refused_and_stops_nobody(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_workers.sandbox.boxed_phase.LIVE_BYTES", 1)
    running = run("leave_once_and_wait", tmp_path / "out")
    while not running.progress():
        assert running.poll() is None
    with pytest.raises(NotCollected, match="and 1 are allowed"):
        running.fetch_live("live")
    assert running.poll() is None, "it goes on"
    running.kill()


def test_what_has_not_changed_is_no_new_checkpoint(tmp_path: Path) -> None:
    running = run("leave_once_and_wait", tmp_path / "out")
    while not running.progress():
        assert running.poll() is None
    assert running.fetch_live("live")
    assert not running.fetch_live("live")
    assert not running.fetch_live("other")
    running.kill()


def test_a_box_waits_for_its_turn_and_its_waiting_counts_against_no_limit(tmp_path: Path) -> None:
    with MachineLock(tmp_path / "machine").exclusive():
        running = run("fit", tmp_path / "out", ("result.txt",), limit_s=20.0)
        begin = time.monotonic()
        while time.monotonic() - begin < 1.0:
            assert running.poll() is None
            time.sleep(0.02)
        assert running.progress() == [], "it has not begun"
    end = ended(running)
    assert end.reason is None, end
    assert end.waited_s >= 1.0


def test_a_machine_that_never_comes_free_is_nobodys_fault(tmp_path: Path) -> None:
    with MachineLock(tmp_path / "machine").exclusive():
        end = ended(run("fit", tmp_path / "out", limit_s=0.3))
    assert (end.reason, end.detail) == ("harness_fault", "the machine was not free within 0.3 s")


def test_a_timed_phase_has_the_machine_alone(tmp_path: Path) -> None:
    with MachineLock(tmp_path / "machine").shared():
        running = run("count", tmp_path / "out", timed=True)
        begin = time.monotonic()
        while time.monotonic() - begin < 0.5:
            assert running.poll() is None
            time.sleep(0.02)
        assert running.progress() == []
    while not running.progress():
        assert running.poll() is None
        time.sleep(0.02)
    assert not Seat(tmp_path / "machine", alone=False).taken()
    running.kill()
    assert Seat(tmp_path / "machine", alone=False).taken(), "its end gives the machine back"


@pytest.mark.parametrize(("begin", "entry", "lock"), [
    (run, "count", "machine"),
    (start, "wake_by_a_timer", "machine.lock"),  # the kernel itself would send it on its way again
])
def test_a_box_stands_still_while_somebody_has_the_machine_alone_and_then_goes_on(
        tmp_path: Path, begin: Callable[[str, Path], Running], entry: str, lock: str) -> None:
    running = begin(entry, tmp_path / "out")
    while not running.progress():
        assert running.poll() is None
    other = Seat(tmp_path / lock, alone=True)
    while not other.taken():
        assert running.poll() is None
        time.sleep(0.02)
    running.progress()
    time.sleep(0.5)
    assert running.poll() is None
    assert running.progress() == [], "not one step was made in half a second"
    assert running.waited_s > 0.4
    other.close()
    deadline = time.monotonic() + 20
    while not running.progress() and time.monotonic() < deadline:
        assert running.poll() is None
        time.sleep(0.02)
    assert time.monotonic() < deadline
    running.kill()


def test_a_checkpoint_that_is_fetched_meanwhile_does_not_send_it_on_its_way(tmp_path: Path) -> None:
    running = run("count_and_leave", tmp_path / "out")
    while not running.progress():
        assert running.poll() is None
    with_all = Seat(tmp_path / "machine", alone=True)
    while not with_all.taken():
        assert running.poll() is None
        time.sleep(0.02)
    running.progress()
    assert running.fetch_live("live")
    left = int((tmp_path / "out" / "live").read_text())
    time.sleep(0.5)
    assert running.poll() is None
    assert [claim["step"] for claim in running.progress()] in ([], [left])
    assert not running.fetch_live("live"), "nothing new: it has stood still"
    with_all.close()
    deadline = time.monotonic() + 20
    while not running.progress() and time.monotonic() < deadline:
        assert running.poll() is None
        time.sleep(0.02)
    assert time.monotonic() < deadline
    running.kill()


def test_a_box_goes_on_after_each_of_many_checkpoints_though_it_is_watched_all_the_time(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_switches: None) -> None:
    """Two threads look into it at once; whom one of them missed would stand still for ever."""
    monkeypatch.setattr("gpu_workers.sandbox.watch.LOOK_INTERVAL_S", 0.0)
    running = run("count_and_leave", tmp_path / "out")
    for _ in range(100):
        deadline = time.monotonic() + 20
        while not running.fetch_live("live") and time.monotonic() < deadline:
            assert running.poll() is None
        assert time.monotonic() < deadline, "it stands still"
    running.kill()


def test_one_that_will_not_stand_still_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_workers.sandbox.inside.FREEZE_S", -1.0)
    running = start("hang", tmp_path / "out")
    while not running.progress():
        assert running.poll() is None
    other = Seat(tmp_path / "machine.lock", alone=True)
    while (end := running.poll()) is None:
        other.taken()
        time.sleep(0.02)
    assert (end.reason, end.detail) == ("crash", "its processes would not be stopped for a moment")
    assert other.taken()
    assert finish(running, tmp_path / "out").end == end
