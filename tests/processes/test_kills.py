"""Real processes, killed with SIGKILL at every named step and at random: every experiment ends exactly once, with the
numbers and the proposals of an undisturbed run, and nothing of the dead stays behind."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from lab.local.leftovers import SCRATCH, leftovers
from lab.probe import STEPS
from orchestrator.designers.evolution import STARTUP
from support.commands import line
from support.curve.lab import Crew, CurveLab, explored

ALONE = ("report", "settings")  # steps of processes that are neither daemon nor worker
EVERY_CHANGE = ("propose.after", "claim.after", "checkpointed.before", "settle.before", "journal.append.after")
KILLS = 6  # a run
LEARNING = STARTUP + 6  # experiments: the last of them rest on what evolution was told
PUSH = """
import os, sys
from lab.backend import open_backend
from lab.clock import SystemClock
from lab.probe import from_environment, probed
backend = probed(open_backend(sys.argv[1]), from_environment(os.environ), SystemClock())
backend.ledger.office.push_settings(open(sys.argv[2]).read() + "# again", op_id="pushed")
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> CurveLab:
    folder = tmp_path_factory.mktemp("undisturbed")
    lab = CurveLab(folder / "lab", temporary=folder / "temporary")
    assert Crew(lab).run() == "the run is complete"
    nothing_stays(lab, deaths=0)
    nothing_temporary(lab)
    return lab


@pytest.fixture
def lab(tmp_path: Path) -> CurveLab:
    return CurveLab(tmp_path / "lab", temporary=tmp_path / "temporary")


def together(step: str) -> bool:
    return step.partition(".")[0] not in ALONE


def check(lab: CurveLab, undisturbed: CurveLab, deaths: int, *, again: bool = False) -> None:
    """The lab as it stands after its run against the one where nobody was killed. `again`: the dead had left already,
    so that the next daemon began another run."""
    experiments = list(lab.open().ledger.all_experiments())
    changes = lab.open().ledger.changes(0, limit=10_000)
    assert Counter(c.subject for c in changes if c.action == "finish") == Counter(e.id for e in experiments)
    expected = {e.fingerprint: e for e in undisturbed.open().ledger.all_experiments()}
    experiments = experiments[:len(expected)] if again else experiments
    assert {e.fingerprint: lab.facts(e) for e in experiments} == {f: lab.facts(e) for f, e in expected.items()}
    assert explored(experiments) == explored(list(expected.values()))
    assert [r.key for r in lab.open().ledger.accounts.open_reservations()] == []
    nothing_stays(lab, deaths)


def nothing_stays(lab: CurveLab, deaths: int) -> None:
    """A report's process may take a moment to end by itself. Then each of the dead has left at most one attempt's
    scratch and one half-written file, which go with the sweep that a person asks for; the living left nothing."""
    deadline = time.monotonic() + 30
    while lab.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert lab.processes() == []
    left = leftovers(lab.folder, running=(), now=time.time(), grace_s=0.0)
    scratch = [path for path in left if path.parent.name == SCRATCH]
    assert max(len(scratch), len(left) - len(scratch)) <= deaths, left
    if left:
        subprocess.run(line("gc", "--grace-h", "0", "--backend", lab.address),
                       env=lab.environment(), cwd=lab.folder, check=True)
    assert sorted(path.name for path in lab.folder.iterdir() if path.name.startswith("scratch") and any(path.iterdir())
                  ) == []
    assert [path for path in lab.folder.rglob("*") if ".aside" in path.name] == []


def nothing_temporary(lab: CurveLab) -> None:
    """Not asked after kills at random: a worker's canary that is killed leaves its folder, and no sweep knows it."""
    assert lab.temporary is not None
    assert list(lab.temporary.iterdir()) == []


def killed_at(step: str, lab: CurveLab, undisturbed: CurveLab) -> None:
    worker_at = "phase.start.after:1" if step.startswith("release") else f"{step}:1"  # only a lost lease is released
    crew = Crew(lab, kill_daemon_at=f"{step}:1", kill_worker_at=worker_at)
    assert crew.run() in ("the run is complete", "a person said stop")
    assert crew.killed >= 1, f"nothing ever came to {step}"
    check(lab, undisturbed, crew.killed, again=step == "leave_lease.after")
    nothing_temporary(lab)


@pytest.mark.parametrize("step", EVERY_CHANGE)
def test_killed_at(step: str, lab: CurveLab, undisturbed: CurveLab) -> None:
    killed_at(step, lab, undisturbed)


@pytest.mark.ci
@pytest.mark.parametrize("step", [step for step in STEPS if together(step) and step not in EVERY_CHANGE])
def test_killed_at_each_step(step: str, lab: CurveLab, undisturbed: CurveLab) -> None:
    killed_at(step, lab, undisturbed)


@pytest.mark.ci
@pytest.mark.parametrize("step", [step for step in STEPS if not together(step)])
def test_killed_alone_and_asked_again(step: str, lab: CurveLab) -> None:
    """A reporter and a person's command: killed at the step and run once more, they have acted once."""
    asked = [lab.address, str(lab.settings_file)] if step.startswith("settings") else [lab.address, "hour", "asked"]
    script = ["-c", PUSH] if step.startswith("settings") else ["-m", "agents.reporter"]
    for kill_at, code in ((step, -9), ("", 0)):
        ended = subprocess.run([sys.executable, *script, *asked], env=lab.environment(kill_at), cwd=lab.folder)
        assert ended.returncode == code
    office = lab.open().ledger.office
    assert office.control().settings == (2 if step.startswith("settings") else 1)
    assert [report.key for report in office.reports()] == ([] if step.startswith("settings") else ["hour"])
    nothing_stays(lab, deaths=0)
    nothing_temporary(lab)


def random_kills(seed: int, lab: CurveLab, undisturbed: CurveLab) -> None:
    print(f"seed {seed}")
    crew = Crew(lab)
    crew.run(Random(seed), KILLS)
    assert crew.killed == KILLS
    check(lab, undisturbed, crew.killed)


def test_killed_at_random(lab: CurveLab, undisturbed: CurveLab) -> None:
    random_kills(0, lab, undisturbed)


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(1, 10))
def test_killed_at_random_again_and_again(seed: int, lab: CurveLab, undisturbed: CurveLab) -> None:
    random_kills(seed, lab, undisturbed)


@pytest.fixture(scope="module")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> CurveLab:
    lab = CurveLab(tmp_path_factory.mktemp("evolved") / "lab", experiments=LEARNING, evolution=0.85)
    assert Crew(lab).run() == "the run is complete"
    return lab


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(20, 22))
def test_a_designer_that_learns_proposes_the_same_whoever_is_killed(
    seed: int, tmp_path: Path, evolved: CurveLab,
) -> None:
    proposed = [e for e in evolved.open().ledger.all_experiments() if e.designer == "evolution"]
    assert len(proposed) > STARTUP, "it never asked its model"
    random_kills(seed, CurveLab(tmp_path / "lab", experiments=LEARNING, evolution=0.85), evolved)
