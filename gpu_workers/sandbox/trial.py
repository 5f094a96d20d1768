"""What the canary does inside its box: a handful of attacks, one line of JSON on how each ended, and then it hangs.

Numbers are those of SANDBOX.md, section 5. An attack that got through is named; one that failed as it must is not.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable

NEW_USER = 0x10000000  # CLONE_NEWUSER
MANY = 10_000  # more processes than any box may have
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    got_through = [name for name, refused in ATTACKS.items() if not refused()]
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.write(json.dumps({"got_through": got_through}) + "\n")
    sys.stdout.flush()
    while True:
        time.sleep(3600)


def _sees_no_environment() -> bool:
    with open("/proc/1/environ", "rb") as file:
        return not file.read() and _fails(lambda: os.pread(os.open("/proc/1/mem", os.O_RDONLY), 8, 4096))


def _has_no_network() -> bool:
    return all(_fails(lambda family=family: socket.socket(family), errno.EAFNOSUPPORT)  # type: ignore[misc]
               for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET))


def _makes_no_namespace() -> bool:
    return _libc.unshare(NEW_USER) == -1 and ctypes.get_errno() == errno.EPERM


def _writes_nowhere() -> bool:
    return all(_fails(lambda path=path: os.open(f"{path}/x", os.O_CREAT | os.O_WRONLY), errno.EROFS)  # type: ignore[misc]
               for path in ("", "/dev", "/usr", "/code", "/in"))


def _cannot_fork_for_ever() -> bool:
    children = list[int]()
    try:
        while len(children) < MANY:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except BlockingIOError:
        return True
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return False


def _fails(attempt: Callable[[], object], number: int | None = None) -> bool:
    try:
        attempt()
    except OSError as error:
        return number is None or error.errno == number
    return False


ATTACKS = {
    "2, reading the supervisor": _sees_no_environment,
    "4, the network": _has_no_network,
    "9, a namespace": _makes_no_namespace,
    "12, writing": _writes_nowhere,
    "16, a fork bomb": _cannot_fork_for_ever,
}
