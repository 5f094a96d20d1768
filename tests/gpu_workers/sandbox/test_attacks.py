"""What hostile code tries in its box, and how each attempt ends: denied, bounded, ignored or killed.

The numbers are those of the list of attacks in docs/sandbox.md. All that is cheap runs in one box.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from gpu_workers.collect import NotCollected, take
from gpu_workers.sandbox.box import LAUNCH, Box
from gpu_workers.sandbox.limits import Limits
from gpu_workers.sandbox.plan import Plan
from gpu_workers.sandbox.runtime import interpreter, packages, python
from support.boxes import Attack, attack, finish, need_sandbox, start
from support.marks import bearing
from support.servers import children

ROOT = Path(__file__).parents[3]
CPU_ONLY = platform.machine() == "x86_64"


@pytest.fixture(scope="module")
def cheap(tmp_path_factory: pytest.TempPathFactory) -> Attack:
    folder = tmp_path_factory.mktemp("cheap")
    (folder / "weights").write_bytes(b"weights")
    (folder / "secret").write_text("a clip")
    paths = [str(folder / "secret"), str(ROOT / "pyproject.toml"), str(ROOT / "clips"), "/etc/passwd", "/home",
             "/run", "/var", "/tmp", "/sys", "/proc/1/root/etc/passwd", "/proc/1/cwd/secret"]
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as named:
        abstract.bind(f"\0aether-{os.getpid()}")
        abstract.listen()
        address = os.path.relpath(folder / "socket")
        named.bind(address)
        named.listen()
        return attack("cheap", folder / "out", {"paths": json.dumps(paths), "abstract": f"aether-{os.getpid()}",
                                                "socket": str(folder / "socket")[:100]},
                      inputs={"model": str(folder / "weights")})


def test_1_no_path_of_the_host_is_there(cheap: Attack) -> None:
    opened = {name: answer for name, answer in cheap.told.items() if name.startswith("open ")}
    assert len(opened) == 11
    runtime = {f"open {folder}" for folder in Path(sys.prefix).parents}  # bound where it lies, so that these lead to it
    assert {answer for name, answer in opened.items() if name not in runtime} <= {"ENOENT", "EACCES"}, opened
    here = [name for name in opened if os.access(name.removeprefix("open "), os.R_OK)]
    assert len(here) >= 9, "but for the box they would have been opened"
    assert opened[f"open {ROOT / 'pyproject.toml'}"] == "ENOENT"


def test_2_the_supervisor_cannot_be_read(cheap: Attack) -> None:
    assert cheap.told["environment of 1"] == ""
    assert cheap.told["memory of 1"] in ("EIO", "EACCES", "EPERM")


def test_3_no_descriptor_is_inherited_but_the_one_for_claims(cheap: Attack) -> None:
    told = cheap.told["descriptors"].split()
    assert len(told) == 1, told
    assert "=pipe:" in told[0]


def test_4_and_5_no_network_of_any_kind(cheap: Attack) -> None:
    sockets = {name: answer for name, answer in cheap.told.items() if name.startswith("socket ")}
    assert len(sockets) == 6
    assert set(sockets.values()) == {"EAFNOSUPPORT"}, sockets
    assert cheap.told["routes"] == "0"


def test_6_no_socket_of_the_host_answers(cheap: Attack) -> None:
    assert cheap.told["abstract socket"] == "ECONNREFUSED"
    assert cheap.told["host socket"] == "ENOENT"


def test_7_nothing_is_shared_between_phases(cheap: Attack, tmp_path: Path) -> None:
    if CPU_ONLY:
        assert {cheap.told[name] for name in ("shmget", "semget", "msgget", "mq_open")} == {"EPERM"}
    assert cheap.told["leave in shared memory"] == "done"
    assert attack("look_again", tmp_path / "out").told["shared memory"] == ""


@pytest.mark.skipif(not CPU_ONLY, reason="the numbers of the calls are those of x86_64")
@pytest.mark.parametrize(("call", "answer"), [
    ("ptrace", "EPERM"), ("process_vm_readv", "EPERM"), ("pidfd_getfd", "EPERM"), ("kcmp", "EPERM"),  # 8
    ("unshare", "EPERM"), ("clone", "EPERM"), ("clone3", "ENOSYS"), ("setns", "EPERM"),  # 9
    ("mount", "EPERM"), ("chroot", "EPERM"), ("pivot_root", "EPERM"), ("open_tree", "EPERM"),  # 10
    ("open_by_handle_at", "EPERM"), ("bpf", "EPERM"), ("perf_event_open", "EPERM"), ("userfaultfd", "EPERM"),
    ("io_uring_setup", "EPERM"), ("keyctl", "EPERM"), ("add_key", "EPERM"), ("kexec_load", "EPERM"),
    ("init_module", "EPERM"), ("personality", "EPERM"), ("setuid", "EPERM"), ("setxattr", "EPERM"),
    ("sched_setaffinity", "EPERM"), ("memfd_create", "ENOSYS"), ("mincore", "ENOSYS"), ("preadv2", "ENOTSUP"),
    ("timer_create", "EPERM"), ("x32", "SIGSYS"),  # 11
])
def test_8_to_11_a_call_that_is_not_allowed_is_refused(cheap: Attack, call: str, answer: str) -> None:
    assert cheap.told[call] == answer


def test_12_nothing_can_be_written_but_its_own_folders(cheap: Attack) -> None:
    written = {name: answer for name, answer in cheap.told.items() if name.startswith("write ")}
    assert len(written) == 7
    assert set(written.values()) <= {"EROFS", "EACCES"}, written  # where the file is not its own, that is said first
    assert {answer for name, answer in written.items() if name.endswith("/x")} == {"EROFS"}


def test_13_the_kernels_settings_are_out_of_reach(cheap: Attack) -> None:
    assert cheap.told["sysctl"] in ("EACCES", "EROFS")
    assert (cheap.told["oom score"], cheap.told["another oom score"]) == ("900", "EROFS"), "boxes die before workers"


def test_14_no_power_can_be_won_and_no_memory_left_behind(cheap: Attack) -> None:
    assert cheap.told["nosuid"] == "True"
    assert cheap.told["no new privileges"] == "1"
    assert cheap.told["capabilities"] == ""
    assert cheap.told["core"] == "0"


def test_15_no_terminal_is_typed_into(cheap: Attack) -> None:
    assert cheap.told["terminal"] == "ENXIO"
    assert cheap.told["type"] == cheap.told["type, with high bits"] == "EPERM"


def test_16_processes_and_threads_are_bounded(cheap: Attack) -> None:
    assert cheap.told["processes"] == cheap.told["threads"] == "EAGAIN"


def test_18_and_19_files_are_bounded(cheap: Attack) -> None:
    assert cheap.told["full file system"] == "ENOSPC"
    assert cheap.told["huge file"] == "EFBIG"


def test_22_the_first_process_cannot_be_ended_from_inside(cheap: Attack) -> None:
    assert cheap.told["kill 1"] == cheap.told["stop 1"] == "done"
    assert cheap.end.reason is None, "it went on and ended well"


def test_26_no_pipe_and_no_device_can_be_made(cheap: Attack) -> None:
    assert cheap.told["pipe"] == cheap.told["device"] == "EPERM"


def test_no_page_is_evicted_and_no_folder_watched_that_other_boxes_read(cheap: Attack) -> None:
    assert cheap.told["evict"] == "EINVAL"
    assert cheap.told["watch a folder"] == cheap.told["own signal"] == "EPERM"


def test_no_lock_in_one_box_is_seen_in_another(tmp_path: Path) -> None:
    """Two boxes that run beside one another, and may only read the file."""
    (tmp_path / "library").write_bytes(b"x" * 64)
    told = {"params": {"bits": "1011001110001111"}, "inputs": {"library": str(tmp_path / "library")}}
    sender = start("hold_locks", tmp_path / "sender", **told)  # type: ignore[arg-type]
    try:
        while not sender.progress():
            assert sender.poll() is None
        found = attack("find_locks", tmp_path / "receiver", **told).told  # type: ignore[arg-type]
        assert found == {"whole": "done", "bits": "none"}
    finally:
        sender.kill()


def test_everything_that_a_box_tells_of_its_place_is_the_same_everywhere(cheap: Attack) -> None:
    assert (cheap.told["user"], cheap.told["host name"]) == ("1000", "lab")


@pytest.mark.parametrize("entry", ["take_private_memory", "take_shared_memory", "take_memory_unseen"])
def test_17_and_24_memory_ends_at_the_ceiling(tmp_path: Path, entry: str) -> None:
    ended = attack(entry, tmp_path / "out", memory_mb=200)
    assert ended.end.reason == "memory", ended.end
    assert ended.end.peak_mb is not None
    assert ended.end.peak_mb < 1000


def test_17_memory_ends_at_the_ceiling_also_while_its_worker_is_busy(tmp_path: Path) -> None:
    """Storing what it left can take a worker many seconds, in which it polls nothing."""
    running = start("take_shared_memory", tmp_path / "out", memory_mb=200)
    assert running.poll() is None, "it has begun"
    deadline = time.monotonic() + 20
    while children() and _lives(children()[0]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert time.monotonic() < deadline, "nobody ended it"
    assert finish(running, tmp_path / "out").end.reason == "memory"


def test_18_files_without_end_are_ended_by_their_number(tmp_path: Path) -> None:
    ended = attack("take_inodes", tmp_path / "out", memory_mb=1024)
    assert (ended.end.reason, "files, and 100000 are allowed" in ended.end.detail) == ("disk", True), ended.end


def test_20_and_21_a_family_that_is_deaf_to_every_signal_ends_by_the_clock(tmp_path: Path) -> None:
    mark = marked(tmp_path)
    running = start("hang", tmp_path / "out", inputs={"mark": str(mark)},
                    limit_s=6.0)  # a busy machine takes a second to begin
    while not running.progress():
        assert running.poll() is None
    assert len(bearing(mark.name)) >= 3, "the box's first process, its own and the daemon"
    begin = time.monotonic()
    ended = finish(running, tmp_path / "out")
    assert (ended.end.reason, ended.end.detail) == ("timeout", "still running after 6 s")
    assert time.monotonic() - begin < 60, "it was not ended"
    assert bearing(mark.name) == []


def test_20_processor_time_without_end_is_ended_by_the_kernel() -> None:
    need_sandbox()
    plan = Plan(command=interpreter("from support.attacks import spin; spin()"),
                binds=(*python(), *packages("support")), limits=Limits(memory_mb=512, limit_s=0.1))
    box = Box(plan, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        box.release()
        box.wait()
        assert box.exit_code == 128 + 24, "SIGXCPU"
    finally:
        box.close()


def test_21_a_daemon_ends_with_the_phase(tmp_path: Path) -> None:
    mark = marked(tmp_path)
    ended = attack("leave_a_daemon", tmp_path / "out", outputs=("heartbeat",), inputs={"mark": str(mark)})
    assert ended.end.reason is None, ended.end
    assert (tmp_path / "out" / "heartbeat").stat().st_size > 0
    assert bearing(mark.name) == []


def marked(folder: Path) -> Path:
    """A file of a name like no other. Who has it mounted is known by it, also when it has left its family."""
    mark = folder / uuid4().hex
    mark.touch()
    return mark


SUPERVISOR = """
import sys, time; sys.path[:0] = {path!r}
from pathlib import Path
from support.boxes import start
running = start("hang", Path({out!r}))
while not running.progress():
    running.poll()
print("hangs", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("whom", ["supervisor", "launcher", "bubblewrap"])
def test_23_whoever_is_killed_outside_the_box_is_gone(tmp_path: Path, whom: str) -> None:
    need_sandbox()
    script = SUPERVISOR.format(path=sys.path, out=str(tmp_path / "out"))
    supervisor = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"hangs\n"
        family = psutil.Process(supervisor.pid).children(recursive=True)
        assert len(family) >= 4, "launcher, bubblewrap, the box's first process and its own"
        {"supervisor": psutil.Process(supervisor.pid), "launcher": family[0], "bubblewrap": family[1]}[whom].kill()
        assert _those_that_stay(family) == []
    finally:
        supervisor.kill()
        supervisor.wait()


LAUNCHED = """
import json, os, subprocess, sys, time
command = ["/bin/sh", "-c", "setsid sleep 600 & echo $!; exec sleep 600"]
subprocess.Popen([sys.executable, "-I", "-S", {launch!r}, json.dumps({{"parent": os.getpid(), "command": command}})])
time.sleep(600)
"""


@pytest.mark.parametrize("whom", ["supervisor", "launcher is told"])
def test_23_who_has_not_asked_to_die_with_its_parent_is_gone_too(whom: str) -> None:
    """As a box's first process, in the moment between its birth and its asking: of 600 boxes whose supervisor was
    killed while they were made, 19 stayed."""
    supervisor = subprocess.Popen([sys.executable, "-c", LAUNCHED.format(launch=str(LAUNCH))], stdout=subprocess.PIPE)
    try:
        assert supervisor.stdout is not None
        orphan = psutil.Process(int(supervisor.stdout.readline()))
        launcher = psutil.Process(supervisor.pid).children()[0]
        supervisor.kill() if whom == "supervisor" else launcher.terminate()
        assert _those_that_stay([launcher, orphan]) == []
    finally:
        supervisor.kill()
        supervisor.wait()


@pytest.mark.parametrize("name", ["link", "absolute", "up", "folder", "second", "plain", "socket", "locked", "large",
                                  "../in/request.json", "/in/request.json"])
def test_25_and_26_only_plain_files_of_its_own_are_taken(left_badly: tuple[int, Path], name: str) -> None:
    out, target = left_badly
    with pytest.raises(NotCollected):
        take(out, (name,), 1 << 19, target)
    assert not (target / name).is_file() or name.startswith("/")


@pytest.fixture(scope="module")
def left_badly(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """The opened folder of a box that is dead."""
    need_sandbox()
    folder = tmp_path_factory.mktemp("badly")
    program = ("from pathlib import Path; from types import SimpleNamespace; from support.attacks import leave_badly; "
               "leave_badly(SimpleNamespace(out=Path('/out')))")
    box = Box(Plan(command=interpreter(program), binds=(*python(), *packages("support")),
                   limits=Limits(memory_mb=512)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    box.release()
    box.wait()
    assert box.exit_code == 0
    return box.inside.out, folder


def test_27_an_end_without_its_outputs_has_failed(tmp_path: Path) -> None:
    ended = attack("leave_nothing", tmp_path / "out")
    assert ended.end.reason == "bad_output", ended.end


def test_29_claims_of_a_wrong_shape_are_dropped_and_a_flood_is_cut(tmp_path: Path) -> None:
    ended = attack("chatter", tmp_path / "out")
    assert ended.end.reason is None, ended.end
    assert {"step": 1, "loss": None} in ended.claims
    kinds = {json.dumps(claim) for claim in ended.claims}
    assert kinds == {'{"step": 1, "loss": null}', '{"step": 2}'}
    assert len(ended.claims) < 100_000
    assert ended.end.waited_s < 1


def test_31_of_a_file_only_its_bytes_are_passed_on(tmp_path: Path) -> None:
    ended = attack("leave_with_a_message", tmp_path / "out")
    facts = (ended.out / "result.json").stat()
    assert stat.S_IMODE(facts.st_mode) == 0o444 & ~_umask()
    assert abs(facts.st_mtime - time.time()) < 600
    assert facts.st_uid == os.getuid()


def _those_that_stay(processes: list[psutil.Process]) -> list[psutil.Process]:
    deadline = time.monotonic() + 20
    while (alive := [one for one in processes if _lives(one)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return alive


def _lives(process: psutil.Process) -> bool:
    """One that is dead may stay listed until its parent asks."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
