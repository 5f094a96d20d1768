"""A laboratory for curves in a folder, and its real processes: daemon and workers, restarted when they are killed."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import psutil

from gpu_workers.machine import default_path
from lab.backend import Backend, open_backend
from lab.canonical import canonical_json
from lab.experiment import Clip, Dataset, Experiment
from orchestrator.planner import CLIPS
from support.curve import INSTALLED
from support.marks import bearing

ROOT = Path(__file__).parents[3]
DAEMON = ("import sys; from lab.settings import parse; from orchestrator.main import serve; "
          "print(serve(sys.argv[1], parse(open(sys.argv[2]).read()), seed=int(sys.argv[3])))")
WORKER = "import sys; from gpu_workers.main import serve; serve(sys.argv[1])"
SETTINGS = """
[lab]
track = "curve"
[designers]
evolution = {evolution}
window = 2
[limits]
experiments = {experiments}
stop_at_goal = false
lease_s = 6
beat_s = 0.5
grace_s = 1.5
"""
LONGEST_LIFE_S = 0.8  # between two kills at random: so short that all of them come before the lab is done
PATIENCE_S = 240.0  # for a lab to end on a busy machine; a hang, not a time to be met


def points(seed: int, count: int = 40) -> bytes:
    rng = Random(seed)
    xs = sorted(rng.uniform(-1, 1) for _ in range(count))
    return "".join(f"{x:.6f},{math.sin(3 * x) + rng.gauss(0, 0.1):.6f}\n" for x in xs).encode()


class CurveLab:
    """A lab with its footage and settings. Every process of it carries a mark, so that none can hide. `temporary` is
    where they put their temporary files, if a test wants to see them."""

    def __init__(self, folder: Path, experiments: int = 2, seed: int = 7, evolution: float = 0.0,
                 temporary: Path | None = None) -> None:
        self.folder, self._seed, self.mark, self.temporary = folder, seed, f"curve-{uuid4().hex}", temporary
        if temporary is not None:
            temporary.mkdir()
        self.address = f"local:{folder}"
        self.settings = SETTINGS.format(experiments=experiments, evolution=evolution)
        self.settings_file = folder.with_suffix(".toml")
        self.settings_file.write_text(self.settings)
        backend = self.open(create=True)
        clips = tuple(Clip(name=role, hash=backend.store.put_bytes(points(n)), role=role)  # type: ignore[arg-type]
                      for n, role in enumerate(("train", "score", "confirm")))
        backend.store.swap(CLIPS, None, backend.store.put_bytes(canonical_json(Dataset(clips=clips))))
        backend.ledger.office.push_settings(self.settings, op_id="first settings")

    def open(self, create: bool = False) -> Backend:
        return open_backend(self.address, create=create)

    def daemon(self, kill_at: str = "", **how: Any) -> subprocess.Popen[bytes]:
        return self._start(DAEMON, str(self.settings_file), str(self._seed), kill_at=kill_at, **how)

    def worker(self, kill_at: str = "", **how: Any) -> subprocess.Popen[bytes]:
        return self._start(WORKER, kill_at=kill_at, **how)

    def environment(self, kill_at: str = "") -> dict[str, str]:
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(INSTALLED)])
        told = {"PYTHONPATH": path, "AETHER_TEST": self.mark, "AETHER_KILL_AT": kill_at}
        if self.temporary is not None:  # the machine's lock stays where it is
            told |= {"TMPDIR": str(self.temporary), "XDG_RUNTIME_DIR": str(default_path().parent)}
        return os.environ | told

    def processes(self) -> list[psutil.Process]:
        """Whatever still runs for this lab."""
        return bearing(self.mark, str(self.folder))

    def facts(self, experiment: Experiment) -> dict[str, float | None]:
        """Its deterministic metrics."""
        assert experiment.outcome is not None
        assert experiment.outcome.scores is not None, experiment.outcome
        return {name: experiment.outcome.scores.mean[name] for name in ("coefficients", "fit_db")}

    def _start(self, script: str, *arguments: str, kill_at: str, **how: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", script, self.address, *arguments], cwd=self.folder,
                                env=self.environment(kill_at), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **how)


class Crew:
    """A daemon and a worker that are started again whenever they are killed, until the daemon says that it is done."""

    def __init__(self, lab: CurveLab, kill_daemon_at: str = "", kill_worker_at: str = "", **how: Any) -> None:
        self.lab, self.killed, self.worker_kills, self._how = lab, 0, 0, how
        self.words = ""  # of the last daemon
        self.daemon, self.worker = lab.daemon(kill_daemon_at, **how), lab.worker(kill_worker_at, **how)
        self._deadline = time.monotonic() + PATIENCE_S

    def run(self, rng: Random | None = None, kills: int = 0) -> str:
        """Until the lab is done; gives why. With `rng`, kills one of the two at random moments, `kills` times."""
        due = time.monotonic() + rng.uniform(0.05, LONGEST_LIFE_S) if rng is not None else 0.0
        try:
            while self.daemon.poll() is None or self.daemon.returncode == -signal.SIGKILL:
                self._restart()
                if rng is not None and self.killed < kills and time.monotonic() > due:
                    self._kill_one(rng)
                    due = time.monotonic() + rng.uniform(0.05, LONGEST_LIFE_S)
                if time.monotonic() > self._deadline:
                    raise TimeoutError(f"the lab did not end; alive: {[p.cmdline() for p in self.lab.processes()]}")
                time.sleep(0.02)
            self.words = self._said(self.daemon)
            if self.daemon.returncode != 0:
                raise RuntimeError(f"the daemon ended with {self.daemon.returncode}: {self.words}")
            return self.words.splitlines()[-1]
        finally:
            self.go_home()

    def _kill_one(self, rng: Random) -> None:
        """Of the worker's lives at most two: an experiment whose worker fell silent three times is poison, rightly."""
        worker = self.worker_kills < 2 and rng.random() < 0.5
        self.worker_kills += worker
        (self.worker if worker else self.daemon).kill()
        (self.worker if worker else self.daemon).wait()

    def _restart(self) -> None:
        if self.daemon.poll() == -signal.SIGKILL:
            self.killed += 1
            self.daemon = self.lab.daemon(**self._how)
        if self.worker.poll() is not None:
            if self.worker.returncode != -signal.SIGKILL:
                raise RuntimeError(f"the worker ended with {self.worker.returncode}: {self._said(self.worker)}")
            self.killed += 1
            self.worker = self.lab.worker(**self._how)

    def go_home(self) -> None:
        """The daemon is done or a test has failed: the worker gives back what it has."""
        for process in (self.daemon, self.worker):
            process.terminate()
        for process in (self.daemon, self.worker):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def _said(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None
        return process.stdout.read().decode(errors="replace").strip() or "nothing"


def explored(experiments: list[Experiment]) -> list[str]:
    """The fingerprints of what designers proposed, in order."""
    return [e.fingerprint for e in experiments if e.purpose == "explore"]
