"""Entries for the phase tests: small functions that end in every way a phase can end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gpu_workers.phase import FAILURE_FILE, REFUSED, Box, Refuse

HELD_MB = 100
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(600)
"""


def fit(box: Box) -> None:
    print("a stray print is log, not progress", flush=True)
    box.progress(step=1, loss=float("nan"), note="started")
    (box.out / "result.txt").write_text(f"{box.spec.params['x']} {len(box.clips)} {box.threads}")


def hold_memory(box: Box) -> None:
    """For longer than the time between two looks."""
    held = bytearray(b"x" * (HELD_MB << 20))
    time.sleep(1)
    print(len(held))


def refuse(box: Box) -> None:
    raise Refuse("bad_output", f"{box.spec.family} gave 3 frames of 4")


def crash(box: Box) -> None:
    raise KeyError("lost")


def exhaust(box: Box) -> None:
    block = bytearray(1 << 34)
    print(len(block))


def grow(box: Box) -> None:
    """Spreads its memory over two processes, each below the limit of one."""
    child = subprocess.Popen([sys.executable, "-c", "b = bytearray(b'x' * (150 << 20)); import time; time.sleep(600)"])
    own = bytearray(b"x" * (150 << 20))
    child.wait()
    print(len(own))


def hang_with_family(box: Box) -> None:
    """A child and a grandchild that ignore SIGTERM, the latter in a session of its own and already an orphan."""
    pids = str(box.out / "pids")
    subprocess.Popen([sys.executable, "-c", STUBBORN, pids])
    daemon = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}, {pids!r}])"
    subprocess.Popen([sys.executable, "-c", daemon], start_new_session=True).wait()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    box.progress(family="started")
    while True:
        time.sleep(600)


def end_itself(box: Box) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave_a_daemon(box: Box) -> None:
    pids = box.out / "pids"
    subprocess.Popen([sys.executable, "-c", STUBBORN, str(pids)], start_new_session=True)
    while not pids.exists() or not pids.read_text().strip():
        time.sleep(0.01)


def wait_for_the_machine(box: Box) -> None:
    with box.machine.exclusive():
        pass


def wait_and_work(box: Box) -> None:
    with box.machine.exclusive():
        time.sleep(2)


def wait_and_hang(box: Box) -> None:
    with box.machine.exclusive():
        time.sleep(600)


def fill_the_disk(box: Box) -> None:
    with (box.out / "result.txt").open("wb") as file:
        while True:
            file.write(b"x" * 4096)


def fill_and_forget_why(box: Box) -> None:
    """As a program does that does not look at what the system says."""
    try:
        fill_the_disk(box)
    except OSError:
        raise RuntimeError("the encoder ended with 1") from None


def write_beyond_the_limit(box: Box) -> None:
    with (box.out / "result.txt").open("wb") as file:
        file.truncate(1 << 40)


def flood(box: Box) -> None:
    os.write(2, b"x" * (200 << 10) + b"\nthe end\n")


def links(box: Box) -> None:
    (box.out / "result.txt").symlink_to("/etc/hostname")


def environment(box: Box) -> None:
    (box.out / "names").write_text(" ".join(sorted(os.environ)))
    (box.out / "cwd").write_text(str(Path.cwd()))


def count(box: Box) -> None:
    for step in range(100_000):
        box.progress(step=step)
        time.sleep(0.02)


def count_and_leave(box: Box) -> None:
    for step in range(100_000):
        (box.out / "aside").write_text(f"{step}")
        (box.out / "aside").replace(box.out / "live")
        box.progress(step=step)
        time.sleep(0.02)


def leave_once_and_wait(box: Box) -> None:
    (box.out / "live").write_text("a checkpoint")
    box.progress(lives=1)
    time.sleep(600)


def blame_the_house(box: Box) -> None:
    raise Refuse("harness_fault", "the original cannot be read")


def tell(box: Box) -> None:
    """The reason that it is told to tell."""
    raise Refuse(box.spec.params["reason"], "so it says")  # type: ignore[arg-type]


def fail_in_no_words(box: Box) -> None:
    (box.out / FAILURE_FILE).write_bytes(b'{"reason":"\xf6"}')
    os._exit(REFUSED)
