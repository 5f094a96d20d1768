"""The daemon's process: opens the backend, steps the state machine, and leaves the lab in order when told to go.

On one machine a lock on the lab's folder shows at once whether another daemon lives; a lease whose holder does not is
taken over without waiting. Elsewhere only a whole lease time of silence proves it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import structlog

from lab import clipset
from lab.aws.telemetry import telemetry_from
from lab.backend import Backend, Store, open_backend
from lab.canonical import canonical_json
from lab.clock import SystemClock
from lab.errors import Damaged, LabHeld, Unavailable
from lab.files import SystemFiles
from lab.local.journal import Journal, newest
from lab.market import open_market
from lab.probe import Probe, from_environment, probed, told
from lab.settings import Settings, parse, require_known
from lab.track import load_track
from orchestrator.daemon import Daemon
from orchestrator.gauges import Gauges
from orchestrator.given import DaemonConfig, Surroundings
from orchestrator.meter import Tab
from orchestrator.places import NO_FLEETS
from orchestrator.planner import clip_sets
from orchestrator.proposer import ProposerProcess
from orchestrator.rest import Rest
from orchestrator.upkeep import Upkeep

log = structlog.get_logger("orchestrator")
JOURNAL = "journal.jsonl"
TICK_S, TICK_FOR_MONEY_S = 0.2, 1.0  # between two rounds: of one machine, and where each look is paid for
REST_S = 5.0  # between two looks for a person's next word, or for footage, each one or two small reads
STUDY = "study-seed"  # the store's pointer to where this lab's designers start


class ReporterProcess:
    """Composes each report in a process of its own, so that a picture costs the daemon no memory."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, key: str, why: str) -> None:
        self._child = subprocess.Popen([sys.executable, "-m", "agents.reporter", self._address, key, why],
                                       stdin=subprocess.DEVNULL, start_new_session=True)

    @property
    def busy(self) -> bool:
        return self._child is not None and self._child.poll() is None


def serve(address: str, settings: Settings, *, seed: int | None = None, wait: bool = False,
          standing: bool = False, fleets: Mapping[str, int] = NO_FLEETS) -> str:
    """Run the lab until it is done; gives why it ended. SIGTERM and SIGINT end the run (a second one leaves at once).
    There is work for each machine of the `fleets`, or for as many workers as the settings say if those are more. Where
    it is `standing`, it rests then until a person asks for more, or a new month begins, and goes on, and waits for
    footage where there is none; SIGTERM then takes this process alone, whose machine is replaced or restarted, and
    leaves the run to the next.

    Raises LabHeld where another daemon holds it, NotFound where there is no footage and it does not stay, and whatever
    opening the backend raises.
    """
    clock, probe, track = SystemClock(), from_environment(os.environ), load_track(settings.lab.track)
    require_known(settings, track)
    backend = probed(open_backend(address), probe, clock)
    with _only_one_here(backend) as proof:
        market, tab = open_market(backend), Tab()
        signals, telemetry = _signals(), telemetry_from(os.environ, address, sys.stderr, clock.wall)
        while True:
            gauges = Gauges(telemetry, backend, clock) if telemetry is not None else None
            upkeep = Upkeep(backend.ledger, clock, market, tab) if market is not None else None
            if standing and not _waited(Rest(backend.ledger), backend.store, upkeep, signals, gauges):
                return "told to go while nobody ran the lab"
            daemon = Daemon(_config(backend, seed, wait, proof, fleets), settings, Surroundings(
                backend=backend, track=track, proposer=ProposerProcess(),
                reporter=ReporterProcess(address), clips=clip_sets(backend.store), clock=clock, parse=parse,
                journal=_journal(backend, probe), market=market, tab=tab))
            told = _lived(daemon, signals, gauges, hands_over=standing)
            if not daemon.epoch:
                return "told to go before it held the lab"
            if daemon.handed_over:
                return "told to go; the run goes on with the next daemon"
            if daemon.lost:
                raise LabHeld(f"another daemon has taken over this lab: {daemon.lost}")
            if told or not standing:
                return daemon.why
            log.info("the run has ended", why=daemon.why)


def _lived(daemon: Daemon, signals: list[int], gauges: Gauges | None, *, hands_over: bool) -> bool:
    """Steps it until it is over, or gone before it held the lab; whether a signal told it to go. At SIGTERM it
    `hands_over`, or ends the run as at SIGINT."""
    told = False
    while not daemon.over:
        pause_s = daemon.step()
        if gauges is not None:
            gauges.look(daemon)
        time.sleep(pause_s)
        if signals and not daemon.epoch:
            return True
        if signals:
            told, number = True, signals.pop()
            if number == signal.SIGTERM and hands_over:
                daemon.hand_over()
            else:
                daemon.stop_now(number)
    return told


def _waited(rest: Rest, store: Store, upkeep: Upkeep | None, signals: list[int], gauges: Gauges | None) -> bool:
    """Waits for as long as the lab rests or has no footage; false where a signal says to go meanwhile."""
    said, stage = "", "rest"
    while not signals:
        try:
            if rest.lasts(time.time()):
                stage, why = "rest", "the lab rests until a person's next word, or the next month"
            elif not clipset.scored(clipset.load(store)):
                stage, why = "waits for footage", clipset.NO_FOOTAGE
            else:
                if upkeep is not None:
                    upkeep.end()
                return True
            if upkeep is not None and rest.left is not None:
                upkeep.look(rest.left)
            if why != said:
                log.info(why)
            said = why
        except Unavailable as error:
            log.warning("backend unavailable", error=str(error))
        if gauges is not None:
            gauges.wait(stage)
        time.sleep(REST_S)
    return False


def _journal(backend: Backend, probe: Probe) -> Journal | None:
    """Beside the database of a lab on one machine; an account keeps its changes itself. Raises Damaged where the
    database has lost what the journal holds: to go on would give the lost numbers to other changes."""
    if backend.folder is None:
        return None
    path = backend.folder / JOURNAL
    kept = newest(SystemFiles().lines(path)) if path.exists() else None
    if kept is not None and canonical_json(backend.ledger.changes(kept.n - 1, 1)) != canonical_json([kept]):
        raise Damaged(f"the database has lost changes that the journal holds, up to {kept.n}; "
                      f"run `aether doctor --repair`")
    return told(Journal(path), probe, {"append": "journal.append"})


def _config(backend: Backend, seed: int | None, wait: bool, proof: tuple[int, int] | None,
            fleets: Mapping[str, int]) -> DaemonConfig:
    host, pid = socket.gethostname(), os.getpid()
    return DaemonConfig(holder=f"{host}-{pid}-{secrets.token_hex(4)}", host=host, pid=pid, seed=seed, wait=wait,
                        observed=proof, study_seed=study_seed(backend), fleets=fleets,
                        tick_s=TICK_S if backend.folder is not None else TICK_FOR_MONEY_S, asking_s=TICK_S)


@contextmanager
def _only_one_here(backend: Backend) -> Iterator[tuple[int, int] | None]:
    """Holds the folder's lock. Having it proves that the last holder's process is gone: gives its (epoch, beat)."""
    if backend.folder is None:
        yield None
        return
    with _opened(backend.folder / "daemon.lock") as lock:
        lease = backend.ledger.office.lease() if _locked(lock) else None
        yield (lease.epoch, backend.ledger.office.daemon_beat(lease.epoch)) if lease else None


def _opened(path: Path) -> IO[str]:
    try:
        return path.open("a")
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}; make the folder writable") from error


def _locked(lock: IO[str]) -> bool:
    """False while another daemon lives; the ledger then says who it is."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _signals() -> list[int]:
    """Collects SIGTERM and SIGINT. The first is a person's stop; after it they end the process as if we did nothing."""
    told: list[int] = []

    def remember(number: int, _: object) -> None:
        told.append(number)
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, remember)
    return told


def study_seed(backend: Backend) -> int:
    """Drawn once for a lab, and kept in it."""
    kept = backend.store.pointer(STUDY)
    if kept is None:
        backend.store.swap(STUDY, None, str(secrets.randbits(31)))
        kept = backend.store.pointer(STUDY)
    return int(kept or 0)
