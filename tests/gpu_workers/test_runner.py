"""Phases run as processes of their own: limits hold, ends are told, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from gpu_workers.claims import ClaimReader, parse_claim
from gpu_workers.collect import NotCollected, collect
from gpu_workers.machine import MachineLock
from gpu_workers.phase import PhaseRequest
from gpu_workers.runner import PhaseEnd, ProcessRunner, Running
from lab.experiment import Spec
from support.phases import HELD_MB
from support.servers import children
from support.small_disk import small_disk

SPEC = Spec(track="curve", family="line", params={"x": 3}, clips="c" * 64, seed=1, protocol=1)


def start(entry: str, out: Path, limit_s: float = 60, memory_mb: int = 2048) -> Running:
    request = PhaseRequest(entry=f"support.phases:{entry}", spec=SPEC, out=str(out))
    return ProcessRunner().start(request, limit_s, memory_mb)


def finish(running: Running) -> PhaseEnd:
    while (end := running.poll()) is None:
        time.sleep(0.01)
    return end


def pids(out: Path, count: int) -> list[int]:
    path = out / "pids"
    while not path.exists() or len(path.read_text().splitlines()) < count:
        time.sleep(0.01)
    return [int(line) for line in path.read_text().splitlines()]


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def alive_children() -> bool:
    return any(child.status() != psutil.STATUS_ZOMBIE for child in children())


def test_a_phase_that_works_is_done_and_its_claims_and_log_are_kept_apart(tmp_path: Path) -> None:
    running = start("fit", tmp_path)
    end = finish(running)
    assert end.reason is None, end
    assert running.progress() == [{"step": 1, "loss": None, "note": "started"}]
    assert end.log == "a stray print is log, not progress\n"
    assert collect(tmp_path, ("result.txt",), 1 << 20) == {"result.txt": tmp_path / "result.txt"}
    assert end.cpu_s > 0
    assert os.listdir(tmp_path) == ["result.txt"]


@pytest.mark.parametrize(("entry", "reason", "detail"), [
    ("refuse", "bad_output", "line gave 3 frames of 4"),
    ("crash", "crash", "KeyError: 'lost'"),
    ("exhaust", "memory", "out of memory"),
    ("fail_in_no_words", "crash", "the phase said that it failed, and did not say why"),
])
def test_a_failure_has_its_reason(tmp_path: Path, entry: str, reason: str, detail: str) -> None:
    end = finish(start(entry, tmp_path))
    assert (end.reason, end.detail) == (reason, detail)


def test_memory_is_counted_over_the_whole_family(tmp_path: Path) -> None:
    end = finish(start("grow", tmp_path, memory_mb=250))
    assert end.reason == "memory", end


def test_the_time_limit_takes_the_whole_family_though_it_ignores_sigterm(tmp_path: Path) -> None:
    running = start("hang_with_family", tmp_path, limit_s=8)
    family = pids(tmp_path, 2)
    end = finish(running)
    assert end.reason == "timeout"
    assert end.detail == "still running after 8 s"
    assert not any(alive(pid) for pid in family)


def start_beside(machine: MachineLock, entry: str, out: Path, limit_s: float) -> Running:
    request = PhaseRequest(entry=f"support.phases:{entry}", spec=SPEC, out=str(out), machine_lock=str(machine.path))
    return ProcessRunner().start(request, limit_s, 2048)


def test_a_phase_that_waits_for_the_machine_is_not_blamed_for_the_time(tmp_path: Path) -> None:
    machine = MachineLock(tmp_path / "machine")
    with machine.shared():
        end = finish(start_beside(machine, "wait_for_the_machine", tmp_path / "out", 1.0))
    assert (end.reason, end.detail) == ("harness_fault", "the machine was not free within 1 s")


def test_waiting_for_the_machine_counts_against_no_limit(tmp_path: Path) -> None:
    """It waits for 2 s of its 3 and then works for 2 more; in what it reports only the work counts."""
    machine = MachineLock(tmp_path / "machine")
    with machine.shared():
        running = start_beside(machine, "wait_and_work", tmp_path / "out", 3.0)
        while running.waited_s < 2.0:
            assert running.poll() is None
            time.sleep(0.01)
    end = finish(running)
    assert end.reason is None, end
    assert end.waited_s == running.waited_s >= 2.0
    assert 2.0 <= end.seconds < 3.0


def test_what_has_waited_is_still_held_to_its_limit(tmp_path: Path) -> None:
    machine = MachineLock(tmp_path / "machine")
    with machine.shared():
        running = start_beside(machine, "wait_and_hang", tmp_path / "out", 2.0)
        while running.waited_s < 0.5:
            assert running.poll() is None
            time.sleep(0.01)
    end = finish(running)
    assert (end.reason, end.detail) == ("timeout", "still running after 2 s")


@pytest.mark.parametrize("entry", ["fill_the_disk", "fill_and_forget_why"])
def test_a_disk_of_ours_that_is_full_is_our_fault(tmp_path: Path, entry: str) -> None:
    """However the phase tells it, and though the disk is so full that it can tell nothing."""
    with small_disk(tmp_path / "disk", mb=2) as disk:
        end = finish(start(entry, disk / "out"))
        assert end.reason == "harness_fault", end
        assert f"the disk of {disk / 'out'} is full; free some space" in end.detail


def test_a_limit_on_what_it_may_write_is_the_phase_s_own(tmp_path: Path) -> None:
    end = finish(start("write_beyond_the_limit", tmp_path))
    assert (end.reason, "File too large" in end.detail) == ("disk", True)


def test_who_fills_the_disk_alone_is_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_workers.runner.FILE_BYTES", 1 << 20)
    with small_disk(tmp_path / "disk", mb=2) as disk:
        assert finish(start("fill_the_disk", disk / "out")).reason == "disk"


def test_a_daemon_does_not_outlive_the_phase_that_left_it(tmp_path: Path) -> None:
    end = finish(start("leave_a_daemon", tmp_path))
    assert end.reason is None
    assert not any(alive(pid) for pid in pids(tmp_path, 1))


def test_kill_returns_when_nothing_runs_any_more(tmp_path: Path) -> None:
    running = start("hang_with_family", tmp_path)
    family = pids(tmp_path, 2)
    running.kill()
    assert not any(alive(pid) for pid in family)
    assert finish(running).detail == "stopped by the worker"


def test_killing_a_phase_that_has_just_ended_tells_how_it_ended(tmp_path: Path) -> None:
    running = start("fit", tmp_path)
    while not (tmp_path / "result.txt").exists() or alive_children():
        time.sleep(0.01)
    running.kill()
    assert finish(running).log == "a stray print is log, not progress\n"


def test_a_worker_that_is_killed_takes_its_phase_along(tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", f"""
import sys, time; sys.path[:0] = {sys.path!r}
from gpu_workers.runner import ProcessRunner
from gpu_workers.machine import MachineLock
from gpu_workers.phase import PhaseRequest
from lab.experiment import Spec
from support.small_disk import small_disk
spec = Spec(track="curve", family="line", params={{}}, clips="c", seed=1, protocol=1)
ProcessRunner().start(PhaseRequest(entry="support.phases:hang_with_family", spec=spec, out={str(tmp_path)!r}), 60, 999)
time.sleep(600)
"""])
    family = pids(tmp_path, 2)
    worker.kill()
    worker.wait()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(alive(pid) for pid in family)


@pytest.mark.ci
def test_killed_at_any_moment_a_phase_leaves_no_process_and_no_scratch(tmp_path: Path) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    random = Random(seed)
    for attempt in range(60):
        out = tmp_path / str(attempt)
        running = start("hang_with_family", out)
        time.sleep(random.uniform(0, 0.4))
        running.kill()
        assert finish(running).detail == "stopped by the worker"
        left = (out / "pids").read_text().splitlines() if (out / "pids").exists() else []
        assert not any(alive(int(pid)) for pid in left), attempt
        assert not (out / ".scratch").exists()
    assert children() == []


def test_the_peak_memory_of_one_that_lasts_is_told(tmp_path: Path) -> None:
    peak_mb = finish(start("hold_memory", tmp_path)).peak_mb
    assert peak_mb is not None
    assert HELD_MB < peak_mb < HELD_MB + 200


def test_a_phase_sees_none_of_the_workers_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert finish(start("environment", tmp_path)).reason is None
    names = set((tmp_path / "names").read_text().split())
    given = {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "OMP_NUM_THREADS", "PYTHONPATH", "TORCH_HOME",
             "OMP_WAIT_POLICY"}
    assert names - {"LC_CTYPE"} == given
    assert Path((tmp_path / "cwd").read_text()).is_relative_to(tmp_path)


def test_a_flood_is_drained_and_the_logs_end_is_kept(tmp_path: Path) -> None:
    end = finish(start("flood", tmp_path))
    assert end.reason is None
    assert end.log.endswith("the end\n")
    assert len(end.log) == 64 << 10


def test_only_plain_files_are_collected(tmp_path: Path) -> None:
    assert finish(start("links", tmp_path)).reason is None
    with pytest.raises(NotCollected, match=r"result\.txt"):
        collect(tmp_path, ("result.txt",), 1 << 20)


def test_what_is_missing_too_large_linked_or_oddly_named_is_not_collected(tmp_path: Path) -> None:
    streams = tmp_path / "streams"
    streams.mkdir()
    (streams / "a.aec").write_bytes(b"x" * 100)
    assert collect(tmp_path, ("streams/",), 100) == {"streams/a.aec": streams / "a.aec"}
    for outputs, cap in ((("streams/",), 99), (("none",), 99), (("streams",), 999), (("../out",), 999)):
        with pytest.raises(NotCollected):
            collect(tmp_path, outputs, cap)
    os.mkfifo(streams / "pipe")
    with pytest.raises(NotCollected):
        collect(tmp_path, ("streams/",), 1000)
    (streams / "pipe").unlink()
    os.link(streams / "a.aec", streams / "b.aec")
    with pytest.raises(NotCollected):
        collect(tmp_path, ("streams/",), 1000)


@pytest.mark.parametrize("line", [b"[1]", b"{}", b"3", b'{"a": [1]}', b'{"A b": 1}', b'{"a": 1e300}', b"\xff\xfe",
                                  b'{"a": "' + b"x" * 300 + b'"}', b"{" * 5000, b'{"a": "\\u001b[2J"}'])
def test_a_claim_of_another_shape_is_dropped(line: bytes) -> None:
    assert parse_claim(line) is None


def test_claims_are_read_in_any_pieces_and_capped_in_all() -> None:
    reader = ClaimReader()
    data = b'{"step": 1}\n' + b"x" * 5000 + b'\n{"step": 2}\n'
    claims: list[dict[str, Any]] = []
    for at in range(0, len(data), 7):
        claims += reader.feed(data[at:at + 7])
    assert claims == [{"step": 1}, {"step": 2}]
    assert sum(len(reader.feed(b'{"step": 3}\n' * 1000)) for _ in range(200)) < 100_000
    assert reader.feed(b'{"step": 4}\n') == []
