"""One box: started, looked at, released, ended. Bubblewrap does the walls; what is ours is the handshake around it.

    start    bubblewrap builds the box and blocks; we open handles on it (`inside`) and know its first process
    release  from here on hostile code runs
    poll     a clean end has an exit code from bubblewrap itself; whatever else ended it, there is none

What fails before `release` is a fault of this machine or of ours (`SandboxFault`), never of the code that was to run.
"""

from __future__ import annotations

import json
import os
import platform
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from resource import struct_rusage
from typing import IO

import msgspec

from gpu_workers.sandbox import rules
from gpu_workers.sandbox.bubblewrap import Descriptors, arguments
from gpu_workers.sandbox.inside import Inside
from gpu_workers.sandbox.launch import STAGE
from gpu_workers.sandbox.plan import OUT, Plan
from lab.errors import AetherError

HANDSHAKE_S = 20.0  # on a machine that has much else to do; tens of milliseconds on one that has not
OWN_UID = 60778  # whom a box belongs to where we are root: of no person, no service and no package
LAUNCH = Path(__file__).with_name("launch.py")
INSTALL = "install bubblewrap 0.8 or later: apt-get install bubblewrap"
_REST_S = 0.001  # between two looks at a box that is being built


class SandboxFault(AetherError):
    """The box could not be made; the message says why and, where it is known, the fix."""


class Box:
    """Made and blocked when the constructor returns. The calling thread must outlive it: the box ends with that thread.

    `stdin`, `stdout` and `stderr` are as for Popen; what `pass_fds` names stays open in the box.
    """

    def __init__(self, plan: Plan, *, stdin: int | IO[bytes] = subprocess.DEVNULL, stdout: int | IO[bytes],
                 stderr: int | IO[bytes], pass_fds: Sequence[int] = ()) -> None:
        self.plan = plan
        self.usage: struct_rusage | None = None  # of all that ran in it, once it has ended
        self.exit_code: int | None = None  # of its command, if that came to its own end
        info, info_end = os.pipe()
        self._status, status_end = os.pipe()
        block_end, self._block = os.pipe()
        os.set_blocking(self._status, False)
        with ExitStack() as passed:  # bubblewrap's; ours no longer once it has started
            for descriptor in (info_end, status_end, block_end):
                passed.callback(os.close, descriptor)
            filters = [_memory_file(passed, rules.path(name, platform.machine()).read_bytes())
                       for name in rules.PROGRAMS if name != "cpu" or not plan.devices.nodes]
            files = {place: _memory_file(passed, data) for place, data in plan.files.items()}
            ours = Descriptors(info=info_end, status=status_end, block=block_end, filters=filters, files=files)
            told = _memory_file(passed, "\0".join(arguments(plan, _sources(plan), ours)).encode())
            command = [sys.executable, "-I", "-S", str(LAUNCH), json.dumps(_launch(plan, told))]
            inherited = (info_end, status_end, block_end, told, *filters, *files.values(), *pass_fds)
            self.process = subprocess.Popen(command, env={}, stdin=stdin, stdout=stdout, stderr=stderr,
                                            pass_fds=inherited, start_new_session=True)
        try:
            self.inside = self._handshake(info)
        except BaseException:
            self._abandon()
            raise
        finally:
            os.close(info)

    def release(self) -> None:
        """Lets the command run."""
        os.write(self._block, b"1")

    def kill(self) -> None:
        """Ends every process of the box; with its first, the kernel takes all."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def poll(self, options: int = os.WNOHANG) -> bool:
        """Whether it has ended. After that `usage` and, for a command that ended by itself, `exit_code` are known."""
        if self.usage is None:
            pid, status, usage = os.wait4(self.process.pid, options)
            if pid == 0:
                return False
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self.usage, self.exit_code = usage, _exit_code(self._status)
        return True

    def wait(self) -> None:
        self.poll(0)

    def close(self) -> None:
        """Ends it if it still runs, and lets its files go."""
        if self.usage is None:
            self.kill()
            self.wait()
        self.inside.close()
        self._close_ours()
        os.close(self._handle)

    def main_process(self) -> int | None:
        """The number that the box's command has out here, or None if it has ended."""
        with suppress(OSError):
            children = Path(f"/proc/{self.first}/task/{self.first}/children").read_text().split()
            return int(children[0]) if children else None
        return None

    def _handshake(self, info: int) -> Inside:
        deadline = time.monotonic() + HANDSHAKE_S
        self.first = _first_process(info, deadline, self.why)
        try:
            self._handle = os.pidfd_open(self.first)
            root = Path(f"/proc/{self.first}/root")
            # /out stands under /newroot until all mounts are made, and bubblewrap then makes that its root.
            while not (root / OUT[1:]).is_dir() or (root / "newroot").exists():
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SandboxFault(f"the box was not made: {self.why()}")
                time.sleep(_REST_S)
            return Inside(self.first)
        except OSError as error:
            raise SandboxFault(f"the box was not made: {self.why() or error}") from error

    def why(self) -> str:
        """What bubblewrap said on standard error, where that is a pipe of ours."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)
        if self.process.stderr is None:
            return "see the log"
        os.set_blocking(self.process.stderr.fileno(), False)
        lines = (self.process.stderr.read() or b"").decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"bubblewrap ended with code {self.process.returncode}"

    def _abandon(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()  # it ends what it has started first (launch.py)
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        self._close_ours()

    def _close_ours(self) -> None:
        os.close(self._status)
        os.close(self._block)


def bubblewrap() -> str:
    """Where it stands. Raises SandboxFault with the fix."""
    found = shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin")
    if found is None:
        raise SandboxFault(f"there is no bubblewrap; {INSTALL}")
    if not rules.path("names", platform.machine()).is_file():
        raise SandboxFault(f"there is no filter of system calls for {platform.machine()}")
    return found


def _sources(plan: Plan) -> list[str]:
    """The paths at which bubblewrap finds what is bound. Raises SandboxFault for what the box's user could not read."""
    if os.geteuid() == 0:
        for bind in plan.binds:
            _check_readable(bind.source)
        return [f"{STAGE}/{number}" for number in range(len(plan.binds))]
    return [str(bind.source) for bind in plan.binds]


def _check_readable(source: Path) -> None:
    """Where we are root the box is somebody else's, who is none of the owners."""
    try:
        facts = source.stat()
    except OSError as error:
        raise SandboxFault(f"{source} cannot be bound: {error.strerror}") from error
    if not facts.st_mode & stat.S_IROTH:
        raise SandboxFault(f"{source} is for its owner alone, and a box of root's belongs to nobody; "
                           f"chmod -R o+rX {source}")


def _launch(plan: Plan, told: int) -> dict[str, object]:
    command = [bubblewrap(), "--args", str(told), "--", *plan.limits.prlimit(), *plan.command]
    if os.geteuid() != 0:
        return {"parent": os.getpid(), "command": command}
    stage = [str(bind.source.resolve()) for bind in plan.binds]
    return {"parent": os.getpid(), "command": command, "uid": OWN_UID, "stage": stage}


def _first_process(info: int, deadline: float, why: Callable[[], str]) -> int:
    """Bubblewrap's word on the box's first process; it comes in pieces. Raises SandboxFault."""
    told = b""
    while b"}" not in told:
        ready, _, _ = select.select([info], [], [], max(deadline - time.monotonic(), 0.0))
        piece = os.read(info, 4096) if ready else b""
        if not piece:
            raise SandboxFault(f"the box was not made: {why()}")
        told += piece
    return int(msgspec.json.decode(told)["child-pid"])


def _exit_code(status: int) -> int | None:
    """Bubblewrap tells it only of a command that ran and came to its end."""
    told = b""
    with suppress(BlockingIOError):
        while piece := os.read(status, 4096):
            told += piece
    for line in told.splitlines():
        with suppress(msgspec.DecodeError):
            code: int | None = msgspec.json.decode(line).get("exit-code")
            if code is not None:
                return code
    return None


def _memory_file(stack: ExitStack, data: bytes) -> int:
    """An inheritable descriptor that reads these bytes."""
    descriptor = os.memfd_create("box", 0)
    stack.callback(os.close, descriptor)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
