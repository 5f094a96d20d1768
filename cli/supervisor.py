"""The daemon and the workers of `aether run`: started in order, restarted when they crash, ended in order.

`poll` is called often and never blocks. Crashes are bounded: a process that keeps dying young ends the run
with one line that says where to look.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from cli.children import Child

YOUNG_S = 30.0  # a process that dies before this has not recovered anything
CRASHES = 3  # young deaths in a row before we stop starting it again
PERSONS_MISTAKE = 2  # an exit code that another start would only repeat
HAND_BACK_S = 12.0  # for workers to give their work back; they take ten themselves
LAST_REPORT_S = 90.0  # for the daemon to drain, report and leave


class Supervisor:
    """`over` once the daemon has left; `why` is what it said, or `failure` the line for the person, with `code`.

    `holds(pid)` says whether the daemon of that process holds the lab: workers wait for it, so that a run that is
    refused has touched nothing.
    """

    def __init__(self, start: Callable[[list[str], Path], Child], backend: str, logs: Path, workers: int,
                 seed: int | None, holds: Callable[[int], bool]) -> None:
        self._start, self._backend, self._logs, self._holds = start, backend, logs, holds
        self._seed, self._wanted = seed, workers
        self._workers: dict[int, Child] = {}
        self._young: dict[str, int] = {}  # name → young deaths in a row
        self._daemon = self._start_daemon()
        self.why = self.failure = ""
        self.code = 0
        self.over = self._drained = False
        self._stopping: float | None = None  # since when

    def want(self, workers: int) -> None:
        """So many from now on; those that are too many hand their work back."""
        self._wanted = workers
        for n in [n for n in self._workers if n > workers]:
            self._workers[n].terminate()
            if self._workers[n].poll() is not None:
                del self._workers[n]

    def poll(self) -> None:
        """Look after everybody once."""
        if self._stopping is not None:
            self._wind_down(time.monotonic() - self._stopping)
            return
        code = self._daemon.poll()
        if code == 0:
            self.why, self.over = self._daemon.said(), True
        elif code is not None:
            self._daemon_died(code)
        elif self._workers or self._holds(self._daemon.pid):
            for n in range(1, self._wanted + 1):
                if self._stopping is None:
                    self._look_after(n)

    def stop(self) -> None:
        """Workers hand their work back; then the daemon drains, reports and leaves. `poll` sees to it."""
        if self._stopping is None:
            self._stopping = time.monotonic()
            for worker in self._workers.values():
                worker.terminate()

    def close(self) -> None:
        """The daemon has left: the workers go too. Waits for them."""
        for worker in self._workers.values():
            worker.terminate()
        deadline = time.monotonic() + HAND_BACK_S
        for worker in self._workers.values():
            if not worker.wait(deadline - time.monotonic()):
                worker.kill()
        self._workers.clear()

    def kill(self) -> None:
        """At once. What ran is found again by its lease."""
        for child in (*self._workers.values(), self._daemon):
            child.kill()
        self._workers.clear()

    def _wind_down(self, waited_s: float) -> None:
        """The daemon is told once no worker holds anything that it would have to take away."""
        self._workers = {n: worker for n, worker in self._workers.items() if worker.poll() is None}
        if self._daemon.poll() is not None:
            self.why, self.over = self._daemon.said(), True
        elif not self._drained and (not self._workers or waited_s > HAND_BACK_S):
            self._drained = True
            self._daemon.terminate()
        elif waited_s > HAND_BACK_S + LAST_REPORT_S:
            self.kill()
            self.over = True

    def _start_daemon(self) -> Child:
        seed = [] if self._seed is None else ["--seed", str(self._seed)]
        return self._start(["orchestrate", "--backend", self._backend, *seed], self._logs / "daemon.log")

    def _daemon_died(self, code: int) -> None:
        if code == PERSONS_MISTAKE or self._hopeless("the daemon", self._daemon, code):
            self.failure = self.failure or self._daemon.last_words()
            self.code, self.over = code if code == PERSONS_MISTAKE else 1, True
        else:
            self._daemon = self._start_daemon()

    def _look_after(self, n: int) -> None:
        worker = self._workers.get(n)
        code = worker.poll() if worker else None
        if worker is not None and code is None:
            return
        if worker is not None and code and self._hopeless(f"worker {n}", worker, code):
            self.code = 1
            self.stop()
            return
        self._workers[n] = self._start(["work", "--backend", self._backend], self._logs / f"worker-{n}.log")

    def _hopeless(self, name: str, child: Child, code: int) -> bool:
        """Whether it died young too often, told once."""
        self._young[name] = self._young.get(name, 0) + 1 if child.lived_s() < YOUNG_S else 1
        if self._young[name] < CRASHES:
            return False
        how = f"signal {-code}" if code < 0 else f"exit {code}"
        self.failure = (f"{name} crashed {CRASHES} times in a row ({how}): {child.last_words()}; see {child.log}, or "
                        f"run `aether doctor`")
        return True
