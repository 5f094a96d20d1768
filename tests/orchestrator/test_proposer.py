"""Proposing happens elsewhere: the asker never waits, an error is an answer, and no process is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import msgspec
import pytest

from lab.errors import NotFound
from orchestrator.designers.control import Control
from orchestrator.designers.protocol import Budget, History, Problem
from orchestrator.proposer import Answer, Ask, InlineProposer, Proposer, ProposerProcess, load_designer
from support.planted import history_of, planted, play

ROOT = Path(__file__).resolve().parents[2]
NOTHING = Problem(families=(), objectives=())  # control cannot draw a family from it


class HandClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def process() -> Iterator[ProposerProcess]:
    proposer = ProposerProcess()
    yield proposer
    proposer.close()


def an_ask(id: int = 1, designer: str = "control", problem: Problem | None = None, history: History | None = None,
           count: int = 2) -> Ask:
    return Ask(id=id, designer=designer, problem=problem or planted(), history=history or History(), count=count)


def wait(proposer: Proposer) -> Answer:
    """Polls until the answer is there; pytest's own limit ends a hang."""
    while (found := proposer.poll()) is None:
        sleep(0.002)  # leaves the processor to the child
    return found


def test_both_proposers_give_the_same_answers(process: ProposerProcess) -> None:
    history = history_of(play(Control(planted()), seed=0, asks=20))
    inline = InlineProposer()
    for id, name in enumerate(["control", "evolution", "evolution"]):
        for proposer in (process, inline):
            proposer.ask(an_ask(id, name, history=history))
        there, here = wait(process), wait(inline)
        assert there == here
        assert (there.id, there.designer, len(there.proposals), there.error) == (id, name, 2, "")


def test_the_asker_goes_on_at_once_and_hears_the_answer_once(process: ProposerProcess) -> None:
    assert process.poll() is None
    process.ask(an_ask())
    assert process.busy
    with pytest.raises(RuntimeError, match="no answer yet"):
        process.ask(an_ask(2))
    wait(process)
    assert not process.busy
    assert process.poll() is None


def test_one_child_serves_many_asks(process: ProposerProcess) -> None:
    pids = set()
    for id in range(3):
        process.ask(an_ask(id))
        pids.add(process.pid)
        assert wait(process).id == id
    assert len(pids) == 1


def test_an_ask_larger_than_any_pipe_arrives(process: ProposerProcess) -> None:
    many = History(tried=tuple(f"{i:016x}" for i in range(150_000)))  # 2.9 MB
    process.ask(an_ask(history=many))
    assert len(wait(process).proposals) == 2


def test_an_error_of_the_designer_is_an_answer_in_one_line(process: ProposerProcess) -> None:
    for proposer in (process, InlineProposer()):
        proposer.ask(an_ask(problem=NOTHING))
        found = wait(proposer)
        assert found.proposals == ()
        assert found.error.startswith("IndexError: ")
        assert "\n" not in found.error
    process.ask(an_ask(2, designer="nobody"))
    assert "no designer 'nobody'; there are control, evolution" in wait(process).error


def test_a_child_that_is_killed_is_named_and_started_again(process: ProposerProcess) -> None:
    process.ask(an_ask())
    wait(process)
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)  # so that it cannot answer before it dies
    process.ask(an_ask(2))
    os.kill(first, signal.SIGKILL)
    found = wait(process)
    assert (found.id, found.error) == (2, "the proposer ended without an answer: SIGKILL")
    process.ask(an_ask(3))
    assert wait(process).error == ""
    assert process.pid != first


def test_a_child_that_died_between_asks_is_not_missed(process: ProposerProcess) -> None:
    process.ask(an_ask())
    wait(process)
    child = process._child
    assert child is not None
    child.kill()
    child.wait()
    process.ask(an_ask(2))
    assert len(wait(process).proposals) == 2


def test_a_child_that_hangs_is_ended_at_the_limit() -> None:
    clock = HandClock()
    process = ProposerProcess(clock, limit_s=60)
    process.ask(an_ask())
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    clock.now = 59
    assert process.poll() is None
    clock.now = 61
    found = process.poll()
    assert found is not None
    assert found.error == "control gave no answer within 60 s"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    process.close()


def test_the_childs_answer_survives_a_persons_interrupt(process: ProposerProcess) -> None:
    process.ask(an_ask())
    wait(process)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.ask(an_ask(2))
    assert wait(process).error == ""


def test_what_a_designer_prints_is_never_taken_for_its_answer(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("print('loading')\nfrom orchestrator.designers.control import Control as Loud\n")
    child = ("import sys; import orchestrator.proposer as p; sys.path.append(sys.argv[1]); "
             "p.DESIGNERS['loud'] = 'loud:Loud'; p.main()")
    done = subprocess.run([sys.executable, "-c", child, str(tmp_path)], cwd=ROOT, capture_output=True,
                          input=msgspec.json.encode(an_ask(designer="loud")) + b"\n")
    (line,) = done.stdout.splitlines()
    assert len(msgspec.json.decode(line, type=Answer).proposals) == 2


def test_closing_leaves_no_process() -> None:
    process = ProposerProcess()
    process.ask(an_ask())
    pid = process.pid
    assert pid is not None
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_child_does_not_outlive_a_daemon_that_was_killed() -> None:
    daemon = textwrap.dedent("""
        import os, signal
        from orchestrator.designers.protocol import History, Problem
        from orchestrator.proposer import Ask, ProposerProcess
        proposer = ProposerProcess()
        proposer.ask(Ask(id=1, designer="control", problem=Problem(families=(), objectives=()), history=History()))
        while proposer.poll() is None: pass
        print(proposer.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", daemon], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    child = int(done.stdout)
    while Path(f"/proc/{child}").exists() and " Z " not in Path(f"/proc/{child}/stat").read_text():
        sleep(0.01)  # gone, or waiting for its new parent to collect it


def test_the_asker_never_loads_the_search_library() -> None:
    code = "import orchestrator.proposer, sys; sys.exit(bool({'optuna', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_designer_goes_by_its_own_name() -> None:
    assert [load_designer(name, planted()).name for name in ("control", "evolution")] == ["control", "evolution"]
    with pytest.raises(NotFound, match="no designer 'x'"):
        load_designer("x", planted())
    assert load_designer("control", planted()).propose(History(), Budget(), 0, 0) == []
