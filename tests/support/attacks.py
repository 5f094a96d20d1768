"""Hostile phases: each function does what code of ill will would try in its box, and leaves how it was answered.

They run in the box alone, never beside a test. An answer is the name of the error, `done` where there was none, or the
signal that ended a child which tried.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import resource
import select
import signal
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gpu_workers.phase import Box

NEW_USER, NEW_NETWORK, CHILD_ENDED = 0x10000000, 0x40000000, 17  # CLONE_NEWUSER, CLONE_NEWNET, SIGCHLD
X32 = 0x40000000
AF_ALG, AF_VSOCK = 38, 40
TIOCSTI = 0x5412
STRIDE_BYTES = 256 << 10  # between two pages that carry a bit: farther than the kernel reads ahead
PR_SET_DUMPABLE = 4
TIMER_CREATE, TIMER_SETTIME = (222, 223) if platform.machine() == "x86_64" else (107, 110)
CALLS = {  # <asm/unistd_64.h>; arguments that are valid where nothing forbids the call
    "ptrace": 101, "process_vm_readv": 310, "pidfd_getfd": 438, "kcmp": 312,
    "unshare": 272, "setns": 308, "mount": 165, "chroot": 161, "pivot_root": 155, "open_tree": 428,
    "open_by_handle_at": 304, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425,
    "keyctl": 250, "add_key": 248, "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240, "mknod": 133,
    "personality": 135, "setuid": 105, "kexec_load": 246, "init_module": 175, "setxattr": 188,
    "sched_setaffinity": 203, "memfd_create": 319, "mincore": 27, "preadv2": 327, "clone3": 435, "timer_create": 222,
}
_over = threading.Event()
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def cheap(box: Box) -> None:
    """All that takes no time and kills nobody but a child."""
    answers = {name: _call(number) for name, number in CALLS.items()} if platform.machine() == "x86_64" else {}
    answers |= {f"socket {family}": _answer(lambda family=family: socket.socket(family, socket.SOCK_DGRAM))  # type: ignore[misc]
                for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, AF_ALG, AF_VSOCK)}
    answers |= {f"write {place}": _answer(lambda place=place: os.open(place, os.O_WRONLY | os.O_CREAT))  # type: ignore[misc]
                for place in ("/x", "/dev/x", "/usr/x", "/code/gpu_workers/phase.py", "/in/request.json",
                              "/in/inputs/model", "/in/x")}
    answers |= {f"open {path}": _answer(lambda path=path: os.close(os.open(str(path), os.O_RDONLY)))  # type: ignore[misc]
                for path in json.loads(str(box.spec.params["paths"]))}
    _leave(box, answers | _others(box))


def _others(box: Box) -> dict[str, str]:
    return {
        "descriptors": " ".join(f"{name}={os.readlink(f'/proc/self/fd/{name}')}"
                                for name in sorted(_descriptors() - {"0", "1", "2"})),
        "environment of 1": Path("/proc/1/environ").read_text(),
        "memory of 1": _answer(lambda: os.pread(os.open("/proc/1/mem", os.O_RDONLY), 8, 4096)),
        "interfaces": " ".join(sorted(os.listdir("/sys/class/net"))) if Path("/sys/class/net").exists() else "",
        "routes": str(len(Path("/proc/net/route").read_text().splitlines()[1:])),
        "abstract socket": _connect("\0" + str(box.spec.params["abstract"])),
        "host socket": _connect(str(box.spec.params["socket"])),
        "shared memory": " ".join(os.listdir("/dev/shm")),
        "leave in shared memory": _answer(lambda: Path("/dev/shm/left").write_text("x")),
        "clone": _in_child(lambda: _libc.syscall(56, NEW_USER | CHILD_ENDED, 0, 0, 0, 0)),
        "x32": _in_child(lambda: _libc.syscall(X32 | 39)) if platform.machine() == "x86_64" else "SIGSYS",
        "sysctl": _answer(lambda: Path("/proc/sys/kernel/hostname").write_text("mine")),
        "oom score": Path("/proc/self/oom_score_adj").read_text().strip(),
        "another oom score": _answer(lambda: Path("/proc/self/oom_score_adj").write_text("0")),
        "nosuid": str(bool(os.statvfs("/usr").f_flag & os.ST_NOSUID)),
        "no new privileges": Path("/proc/self/status").read_text().partition("NoNewPrivs:\t")[2][:1],
        "capabilities": Path("/proc/self/status").read_text().partition("CapEff:\t")[2][:16].strip("0"),
        "core": str(resource.getrlimit(resource.RLIMIT_CORE)[1]),
        "terminal": _answer(lambda: os.open("/dev/tty", os.O_RDWR)),
        "type": _ioctl(TIOCSTI),
        "type, with high bits": _ioctl(1 << 32 | TIOCSTI),
        "kill 1": _answer(lambda: os.kill(1, signal.SIGKILL)),
        "stop 1": _answer(lambda: os.kill(1, signal.SIGSTOP)),
        "advice": str(os.posix_fadvise(os.open("/code/lab/errors.py", os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)),
        "evict": _evict("/code/lab/errors.py"),
        "watch a folder": _answer(lambda: fcntl.fcntl(os.open("/code/lab", os.O_RDONLY), fcntl.F_NOTIFY, 1)),
        "own signal": _answer(lambda: fcntl.fcntl(os.pipe()[0], 10, signal.SIGCONT)),
        "pipe": _answer(lambda: os.mkfifo("/out/pipe")),
        "device": _answer(lambda: os.mknod("/out/device", stat.S_IFCHR | 0o600, os.makedev(1, 3))),
        "huge file": _answer(lambda: os.truncate(_made("/out/huge"), 1 << 40)),
        "full file system": _answer(_fill),
        "processes": _bomb(_fork),
        "threads": _bomb(_thread),
        "user": str(os.getuid()),
        "host name": platform.node(),
    }


def look_again(box: Box) -> None:
    _leave(box, {"shared memory": " ".join(os.listdir("/dev/shm"))})


def take_private_memory(box: Box) -> None:
    held = []
    for _ in range(4096):
        held.append(bytearray(b"x" * (16 << 20)))
    print(len(held))


def take_shared_memory(box: Box) -> None:
    """Passes RLIMIT_DATA, and what is resident is counted all the same."""
    held = []
    while True:
        block = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        block.write(b"x" * len(block))
        held.append(block)


def take_memory_unseen(box: Box) -> None:
    """As one that others may not look at: not dumpable."""
    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    take_shared_memory(box)


def take_inodes(box: Box) -> None:
    for number in range(10_000_000):
        os.close(os.open(f"/scratch/{number}", os.O_CREAT | os.O_WRONLY))


def hang(box: Box) -> None:
    """With a child in a session of its own, and deaf to everything."""
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
    box.progress(hangs=1)
    while True:
        time.sleep(3600)


def leave_a_daemon(box: Box) -> None:
    """It would write on for ever; what it has written when the phase ends is all."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                with open("/out/heartbeat", "ab") as file:
                    file.write(b"x")
                time.sleep(0.001)
    while not Path("/out/heartbeat").exists():
        time.sleep(0.001)
    _leave(box, {})


def fight_a_freeze(box: Box) -> None:
    """Children that wake each other and multiply, and a counter that must stand while a checkpoint is copied."""
    for _ in range(4):
        if os.fork() == 0:
            while True:
                for other in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
                    if other not in (1, os.getpid()):
                        _answer(lambda other=other: os.kill(other, signal.SIGCONT))  # type: ignore[misc]
    step = 0
    while True:
        step += 1
        aside = box.out / "aside"
        aside.write_bytes(struct.pack("<q", step) * 200_000)
        os.replace(aside, box.out / "live")
        if step == 1:
            box.progress(lives=1)


def wake_by_a_timer(box: Box) -> None:
    """Whatever stops it, the kernel itself sends it on its way again."""
    signal.signal(signal.SIGCONT, lambda *_: None)
    timer, event = ctypes.c_int(), struct.pack("<qii48x", 0, signal.SIGCONT, 0)
    _libc.syscall(TIMER_CREATE, time.CLOCK_MONOTONIC, event, ctypes.byref(timer))
    _libc.syscall(TIMER_SETTIME, timer, 0, struct.pack("<4q", 0, 50_000_000, 0, 50_000_000), None)
    step = 0
    while True:
        step += 1
        box.progress(step=step)
        time.sleep(0.01)


def hold_locks(box: Box) -> None:
    """Sends bits to a box that runs beside it: a lock for each 1, on a file that both may only read."""
    with open(box.inputs["library"], "rb") as file:
        for at, bit in enumerate(str(box.spec.params["bits"])):
            if bit == "1":
                fcntl.fcntl(file, fcntl.F_SETLK, _range_lock(fcntl.F_RDLCK, at))
        fcntl.flock(file, fcntl.LOCK_EX)
        box.progress(holds=1)
        time.sleep(3600)


def find_locks(box: Box) -> None:
    """Receives them; `whole` is the lock on the file as a whole, `none` where nothing is told."""
    with open(box.inputs["library"], "rb") as file:
        whole = _answer(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB))
        bits = ""
        for at in range(len(str(box.spec.params["bits"]))):
            try:
                told = fcntl.fcntl(file, fcntl.F_GETLK, _range_lock(fcntl.F_WRLCK, at))
            except OSError:
                bits = "none"
                break
            bits += "01"[struct.unpack_from("<h", told)[0] != fcntl.F_UNLCK]
    _leave(box, {"whole": whole, "bits": bits})


def leave_badly(box: Box) -> None:
    """An output under each name that is something else than a plain file."""
    out = box.out
    (out / "link").symlink_to("/in/request.json")
    (out / "absolute").symlink_to("/proc/self/environ")
    (out / "up").symlink_to("../in/request.json")
    (out / "folder").mkdir()
    (out / "plain").write_text("x")
    os.link(out / "plain", out / "second")
    socket.socket(socket.AF_UNIX).bind(str(out / "socket"))
    (out / "locked").write_text("x")
    (out / "locked").chmod(0)
    (out / "large").write_bytes(b"x" * (1 << 20))


def leave_with_a_message(box: Box) -> None:
    """The same bytes, with as much as a file can say beside them."""
    path = box.out / "result.json"
    path.write_text("{}")
    path.chmod(0o4751)
    os.utime(path, (123456789, 987654321))


def leave_nothing(box: Box) -> None:
    os._exit(0)


def chatter(box: Box) -> None:
    """Claims of every wrong shape, in a flood, on the descriptor that takes claims."""
    claims = max(int(name) for name in _descriptors() - {"0", "1", "2"})
    deep = b"[" * 3000
    for line in (b'{"step": NaN}', b'{"step": 1e300}', b'{"a": ' + deep + b"}", b"\xff\xfe", b'{"note": "\\u001b[2J"}',
                 b'{"waiting": true}'):
        os.write(claims, line + b"\n")
    box.progress(step=1, loss=float("nan"))
    end = time.monotonic() + 20
    for _ in range(200):
        select.select([], [claims], [], max(end - time.monotonic(), 0))
        os.write(claims, b'{"step": 2}\n' * 1000)
    _leave(box, {})


def spin() -> None:
    """A program of its own: processor time without end."""
    while True:
        pass


def _leave(box: Box, answers: dict[str, str]) -> None:
    (box.out / "result.json").write_text(json.dumps(answers))


def _answer(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def _call(number: int) -> str:
    ctypes.set_errno(0)
    got = _libc.syscall(number, 0, 0, 0, 0, 0, 0)
    return errno.errorcode[ctypes.get_errno()] if got == -1 else "done"


def _ioctl(request: int) -> str:
    byte = ctypes.c_char(b"x")
    got = _libc.syscall(16 if platform.machine() == "x86_64" else 29, 0, ctypes.c_ulong(request), ctypes.byref(byte))
    return errno.errorcode[ctypes.get_errno()] if got == -1 else "done"


def _in_child(attempt: Callable[[], int]) -> str:
    """For what may end whoever tries it."""
    child = os.fork()
    if child == 0:
        os._exit(0 if attempt() >= 0 else ctypes.get_errno())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return signal.Signals(-code).name if code < 0 else errno.errorcode.get(code, "done")


def _range_lock(kind: int, at: int) -> bytes:
    return struct.pack("<hh4xqqi4x", kind, os.SEEK_SET, at, 1, 0)  # struct flock of <fcntl.h>


def _evict(path: str) -> str:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
        return _answer(lambda: pages.madvise(21))  # MADV_PAGEOUT, <linux/mman.h>


def _connect(address: str) -> str:
    return _answer(lambda: socket.socket(socket.AF_UNIX).connect(address))


def _descriptors() -> set[str]:
    """Those that are open: the one that lists them is gone again."""
    return {name for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd", name).is_symlink()}


def _made(path: str) -> str:
    Path(path).touch()
    return path


def _fill() -> None:
    try:
        with open("/scratch/full", "wb") as file:
            while True:
                file.write(b"x" * (1 << 20))
    finally:
        Path("/scratch/full").unlink()


def _fork(made: list[int]) -> None:
    child = os.fork()
    if child == 0:
        signal.pause()
    made.append(child)


def _thread(made: list[int]) -> None:
    started = threading.Thread(target=_over.wait, daemon=True)
    try:
        started.start()
    except RuntimeError as error:
        raise BlockingIOError(errno.EAGAIN, str(error)) from error
    made.append(0)


def _bomb(one_more: Callable[[list[int]], None]) -> str:
    made = list[int]()
    _over.clear()
    try:
        while len(made) < 2000:
            one_more(made)
    except BlockingIOError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        _over.set()
        for child in made:
            if child:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    return "done"


def touch_pages(box: Box) -> None:
    """Sends bits: brings one page of a library in for each 1."""
    bits = str(box.spec.params["bits"])
    with open(box.inputs["library"], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
        pages.madvise(mmap.MADV_RANDOM)
        print(sum(pages[number * STRIDE_BYTES] for number, bit in enumerate(bits) if bit == "1"))
    _leave(box, {})


def time_pages(box: Box) -> None:
    """Receives them: how long each page takes."""
    times = []
    with open(box.inputs["library"], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
        pages.madvise(mmap.MADV_RANDOM)
        for at in range(0, len(pages), STRIDE_BYTES):
            begin = time.perf_counter_ns()
            pages[at]
            times.append(time.perf_counter_ns() - begin)
    _leave(box, {"times": json.dumps(times)})
