"""A small program between us and bubblewrap: it dies with us, and where we are root it stops being root first.

`python -I -S launch.py PLAN`, a JSON object: `parent` (the process whose death is ours), `command` (bubblewrap's), and
where we are root `uid` and `stage`. A user that owns nothing cannot walk through a private home, in which Python or
the laboratory may well lie. So root first binds what the box is to see under /run in a mount namespace of its own, and
leaves its powers after. It then waits until the last process of the box is gone, whoever that one's parent was, so that
its own end means that, and the kernel's count of what it used is of them all. Told to go (SIGTERM, which is also what
the death of `parent` sends), it ends them all first: a bubblewrap that dies while it builds leaves its first process
alive, for that one has not yet asked to die with it. Imports nothing of ours: it is started for every box.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from signal import SIG_BLOCK, SIG_DFL, SIG_IGN, SIG_UNBLOCK, SIGKILL, SIGTERM, pthread_sigmask, signal

CLONE_NEWNS = 0x00020000  # <linux/sched.h>
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000  # <linux/mount.h>
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
STAGE = "/run"
OOM_SCORE = "900"  # of 1000

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    plan = json.loads(sys.argv[1])
    die_first()
    if "uid" in plan:
        stage(plan["stage"])
        os.setgroups([])
        os.setresgid(plan["uid"], plan["uid"], plan["uid"])
        os.setresuid(plan["uid"], plan["uid"], plan["uid"])
    signal(SIGTERM, told_to_go)
    die_with(plan["parent"], SIGTERM)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.chdir("/")
    own = os.getpid()
    pthread_sigmask(SIG_BLOCK, {SIGTERM})  # between the fork and the `try` nobody would heed it
    started = os.fork()
    if started == 0:
        die_with(own, SIGKILL)
        signal(SIGTERM, SIG_DFL)
        pthread_sigmask(SIG_UNBLOCK, {SIGTERM})
        os.execve(plan["command"][0], plan["command"], {})
    try:
        pthread_sigmask(SIG_UNBLOCK, {SIGTERM})
        sys.exit(outlive(started))
    finally:
        end_all()


def die_first() -> None:
    """Where the machine's memory is at its end, boxes go before workers. Told by root, it cannot be taken back."""
    try:
        with open("/proc/self/oom_score_adj", "w") as told:
            told.write(OOM_SCORE)
    except OSError:  # a machine without it, where the kernel chooses by size alone
        pass


def told_to_go(number: int, _frame: object) -> None:
    signal(SIGTERM, SIG_IGN)  # told twice is told once
    sys.exit(128 + number)


def die_with(parent: int, number: int) -> None:
    """By which signal. After a change of user, which would clear it."""
    _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("whoever started this box is gone")


def outlive(started: int) -> int:
    """Waits for every process; gives the code of the one that was started. Its pipes are not ours to keep open."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.closerange(3, 1 << 16)
    code = 1
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return code
        if pid == started:
            code = os.waitstatus_to_exitcode(status)


def end_all() -> None:
    """The orphans of each round are our children in the next."""
    own = os.getpid()
    while True:
        with open(f"/proc/{own}/task/{own}/children") as children:
            for child in children.read().split():
                os.kill(int(child), SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def stage(sources: list[str]) -> None:
    """Binds each source as /run/0, /run/1, … where only this process and its children see it."""
    _check(_libc.unshare(CLONE_NEWNS), "a mount namespace")
    _mount(b"none", b"/", b"", MS_REC | MS_PRIVATE, b"")
    opened = [os.open(source, os.O_PATH) for source in sources]  # before /run is covered: a source may lie there
    folders = [os.path.isdir(source) for source in sources]
    _mount(b"tmpfs", STAGE.encode(), b"tmpfs", 0, b"mode=755,size=1m")
    for number, (descriptor, folder) in enumerate(zip(opened, folders)):  # noqa: B905  # made of the same list
        target = f"{STAGE}/{number}"
        if folder:
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        _mount(f"/proc/self/fd/{descriptor}".encode(), target.encode(), b"", MS_BIND | MS_REC, b"")
        os.close(descriptor)


def _mount(source: bytes, target: bytes, kind: bytes, flags: int, data: bytes) -> None:
    _check(_libc.mount(source, target, kind, ctypes.c_ulong(flags), data), target.decode())


def _check(result: int, what: str) -> None:
    if result != 0:
        sys.exit(f"cannot make {what} ready for the box: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
