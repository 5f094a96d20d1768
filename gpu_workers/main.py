"""One worker process: opens the backend, steps the state machine, and gives its work back when it is told to go: by a
signal, or by AWS, which takes a spot machine away."""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from gpu_workers.device import device_class
from gpu_workers.gauges import Gauges
from gpu_workers.notices import listening
from gpu_workers.sandbox.canary import runner_here, sandbox_here
from gpu_workers.worker import Surroundings, Worker, WorkerConfig
from gpu_workers.workspace import FolderWorkspace
from lab.aws import metadata
from lab.aws.telemetry import telemetry_from
from lab.backend import Backend, open_backend
from lab.clock import SystemClock
from lab.errors import Unavailable
from lab.experiment import JOB_CLASSES, Experiment, Machine
from lab.probe import from_environment, probed
from lab.settings import Settings, goals_of, parse
from lab.track import Goal, load_track

log = structlog.get_logger("worker")
LAST_STEPS_S = 10.0  # to give the work back, once told to go
ASK_S = 20.0  # for which a worker on an account asks its machine who it is, before it is started anew
NOTICED_STEPS_S = 100.0  # the same where AWS takes the machine in two minutes, which is long enough for a slow upload


def serve(address: str, *, name: str = "", job_classes: Sequence[str] = (), idle_s: float = math.inf,
          keep_going: Callable[[], bool] = lambda: True) -> None:
    """Work until SIGTERM or SIGINT, until AWS takes the machine, until there was no work for `idle_s`, or until
    `keep_going` says no: at the queues of these job classes, or of all on a machine of one's own. Raises what opening
    the backend raises, and Unavailable where a machine of AWS does not learn which it is.
    """
    clock, probe = SystemClock(), from_environment(os.environ)
    backend = probed(open_backend(address), probe, clock)

    if not (sandbox := sandbox_here()).works:
        log.warning("NOT SANDBOXED", why=sandbox.why)

    def workspace(experiment: Experiment) -> FolderWorkspace:
        return FolderWorkspace(scratch(backend, experiment), backend.store, experiment.id)

    configured = config(current_settings(backend), name, job_classes or (("cpu",) if backend.rented else JOB_CLASSES),
                        on_account=backend.rented)
    worker = Worker(configured, Surroundings(
        backend=backend, runner=runner_here(), sandboxed=sandbox.works, workspace=workspace, track=load_track,
        goals=lambda experiment: goals_for(backend, experiment), clock=clock, probe=probe))
    telemetry = telemetry_from(os.environ, address, sys.stderr, clock.wall)
    gauges = Gauges(telemetry, clock) if telemetry is not None else None
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopped.append(received))
    busy_at = clock.monotonic()
    with listening(configured.machine is not None) as notices:
        while keep_going() and not stopped and not notices.must_go and clock.monotonic() - busy_at < idle_s:
            if notices.heard and worker.idle:
                break
            time.sleep(_stepped(worker, gauges))
            if not worker.idle:
                busy_at = clock.monotonic()
        last_s = NOTICED_STEPS_S if notices.must_go else LAST_STEPS_S
        worker.interrupt(signal.Signals(stopped[0]).name if stopped else str(notices), keep_s=last_s / 2)
        deadline = time.monotonic() + last_s
        while not worker.idle and time.monotonic() < deadline:
            time.sleep(_stepped(worker, gauges))


def _stepped(worker: Worker, gauges: Gauges | None) -> float:
    """One step; all that is logged in it names the experiment."""
    with structlog.contextvars.bound_contextvars(**{"experiment": worker.experiment} if worker.experiment else {}):
        pause_s = worker.step()
    if gauges is not None:
        gauges.look(worker)
    return pause_s


def config(settings: Settings, name: str, job_classes: Sequence[str] = ("cpu",), *,
           on_account: bool = False) -> WorkerConfig:
    """On AWS the name begins with the instance's id, by which its attempts are found once it is gone. Raises what
    `rented` raises."""
    machine = rented(on_account)
    if machine is not None:
        name = f"{machine.id}-{name or os.getpid()}"
    return WorkerConfig(name=name or f"{socket.gethostname()}-{os.getpid()}", device_class=device_class(),
                        terms=settings.limits.terms(), job_classes=tuple(job_classes), machine=machine)


def rented(on_account: bool) -> Machine | None:
    """The machine of AWS that this process runs on, if it is one: what an attempt costs here follows from it. Raises
    Unavailable where a lab on an account cannot learn it: a worker that does not know its machine hears no notice, and
    its machine is paid for twice. A lab of one's own has prices of its own."""
    try:
        here = metadata.instance(ASK_S if on_account else 0.0)
    except Unavailable as error:
        if on_account:
            raise
        log.warning("not known as a machine of AWS", why=str(error))
        return None
    return Machine(id=here.id, type=here.type, zone=here.zone, spot=here.spot) if here is not None else None


def current_settings(backend: Backend) -> Settings:
    """The revision in force; the defaults where none was pushed."""
    pushed = backend.ledger.office.settings(backend.ledger.office.control().settings)
    return parse(pushed.text) if pushed else Settings()


def goals_for(backend: Backend, experiment: Experiment) -> tuple[Goal, ...]:
    """The goals of the revision under which the experiment was proposed."""
    pushed = backend.ledger.office.settings(experiment.settings)
    return goals_of(parse(pushed.text) if pushed else Settings(), load_track(experiment.spec.track))


def scratch(backend: Backend, experiment: Experiment) -> Path:
    assert backend.workplace is not None
    return backend.workplace / "scratch" / f"{experiment.id}.{experiment.fence}"
