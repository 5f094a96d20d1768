"""The views of a run: what a person sees at a terminal, in a log, and when something is wrong."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from cli.live import RunLine, live, still
from cli.logtail import LogTail
from cli.watch import Best, RunningLine, Status, Watch
from lab.backend import open_backend
from support.commands import environment, line, write_laboratory


def drawn(view: object, width: int = 80) -> str:
    console = Console(width=width, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


@pytest.fixture
def status(lab: Path) -> Status:
    found = Watch(open_backend("local:lab")).status(time.time())
    running = RunningLine(id="e00099", what="x265 slow crf 28", designer="evolution", phase="encode", used_s=12.0,
                          done=0.5, note="drive")
    return msgspec.structs.replace(found, running=(running,))


def test_the_view_of_a_run_says_what_runs_how_far_it_is_and_what_is_left(status: Status) -> None:
    told = drawn(live(status, RunLine(elapsed_s=61, minutes=5, experiments=9, done=4, notices=("mind the gap",))))
    for words in ("1 min 1 s of 5 min", "4 of 9 experiments", "e00099", "encode", "drive", "12.0 s", "Best so far",
                  "fit_db >= 10", "spent this month", "mind the gap"):
        assert words in told


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_view_is_wider_than_the_terminal(width: int, status: Status) -> None:
    for view in (live(status, RunLine(elapsed_s=1)), still(status)):
        assert max(len(row) for row in drawn(view, width).splitlines()) <= width


def test_an_empty_laboratory_has_a_view_too(status: Status) -> None:
    empty = msgspec.structs.replace(status, running=(), best=None, recent=(), money=(), outcomes={}, experiments=0)
    assert "nothing measured yet" in drawn(still(empty))


def test_what_waits_is_said_to_wait_for_a_worker_or_for_another_run(status: Status) -> None:
    waits = msgspec.structs.replace(status, running=(), states=status.states | {"queued": 2})
    runs = msgspec.structs.replace(waits, daemon=msgspec.structs.replace(waits.daemon, state="running"))
    for shown, told in ((waits, "with the next run"), (runs, "a worker that is ready"),
                        (msgspec.structs.replace(runs, paused=True), "nothing at this moment")):
        assert told in drawn(still(shown))


def test_text_from_experiments_is_never_read_as_markup(status: Status) -> None:
    assert status.best is not None
    best: Best = msgspec.structs.replace(status.best, what="[red]crf[/red] [/nonsense]")
    assert "[red]crf[/red] [/nonsense]" in drawn(still(msgspec.structs.replace(status, best=best)), 120)


def test_at_a_terminal_the_view_is_drawn_and_the_result_stays(tmp_path: Path) -> None:
    write_laboratory(tmp_path)
    ours, theirs = pty.openpty()
    run = subprocess.Popen(line("run", "--experiments", "1"), cwd=tmp_path, env={**environment(), "TERM": "xterm"},
                           stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    told = _all_of(ours)
    assert run.wait(timeout=60) == 0
    assert "Running" in told
    assert "Best so far" in told
    assert "The front" in told.rpartition("Running")[2]
    assert "report.html" in told


def test_warnings_of_the_logs_are_told_once_with_their_reason(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    log.write_text(json.dumps({"level": "warning", "event": "of an earlier run"}) + "\n")
    tail = LogTail(tmp_path)
    with log.open("a") as file:
        for event in ({"level": "info", "event": "stage", "now": "drain"},
                      {"level": "warning", "event": "backend unavailable", "error": "the disk is full"}, ["no event"]):
            file.write(json.dumps(event) + "\n")
        file.write("Traceback (most recent call last):\n")
        file.write('{"level": "warning", "event": "half a')
    assert tail.warnings() == ["backend unavailable: the disk is full"]
    with log.open("a") as file:
        file.write(' line"}\n')
    (tmp_path / "worker-1.log").write_text('{"level": "error", "event": "lost"}\n')
    assert tail.warnings() == ["half a line", "lost"]
    assert tail.warnings() == []


def _all_of(terminal: int) -> str:
    told = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        told += piece
    os.close(terminal)
    return told.decode(errors="replace")


