"""Giving `aether` commands as a person would, in a folder with a laboratory of the tiny curve track."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from support.curve import INSTALLED

TESTS = Path(__file__).resolve().parent.parent
WAIT_S = 60.0  # bounds every wait; nothing is asserted about time
SETTINGS = """[lab]
name = "curves"
track = "curve"

[limits]
stop_at_goal = false
lease_s = 3.0
beat_s = 0.5
grace_s = 1.0

[report]
hourly = false

[[clips]]
path = "points.csv"
role = "train"

[[clips]]
path = "held_out.csv"
role = "score"
"""


def environment() -> dict[str, str]:
    """Of a process in which the curve track is installed."""
    paths = [str(INSTALLED), str(TESTS), str(TESTS.parent)]
    kept = {name: value for name, value in os.environ.items() if name != "AETHER_BACKEND"}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}


def write_laboratory(folder: Path) -> None:
    """An aether.toml, and the points that it names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "aether.toml").write_text(SETTINGS)
    for name, shift in (("points.csv", 0), ("held_out.csv", 1)):
        xs = [(2 * n + shift) / 40 - 1 for n in range(40)]
        (folder / name).write_text("\n".join(f"{x:.3f},{x ** 3 - 0.5 * x + 0.01 * ((n * 7) % 5 - 2):.4f}"
                                             for n, x in enumerate(xs)))


def line(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "cli.main", *words]


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    return subprocess.run(line(*words), cwd=folder, env=environment(), text=True, capture_output=True, timeout=240,
                          stdin=subprocess.DEVNULL)


@contextmanager
def started(folder: Path, *words: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on, with `more` in its environment; it and its family are gone when the block ends."""
    process = subprocess.Popen(line(*words), cwd=folder, env=environment() | more, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        for one in [*family(process.pid), process]:
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                os.kill(one.pid, signal.SIGKILL)
        process.communicate()


def family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def gone(processes: list[psutil.Process]) -> bool:
    return not [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def until(reached: Callable[[], object], what: str, pause_s: float = 0.1) -> None:
    end = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(pause_s)
