"""Named steps: places where a process may be killed in a test, to prove that nothing is lost there.

In production a probe does nothing. A test sets `AETHER_KILL_AT=name:3`, and the process that reaches that step for the
third time kills itself with SIGKILL, as a power cut would. `STEPS` lists every name.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import msgspec

from lab.backend import Backend
from lab.clock import Clock
from lab.ledger import Ledger
from lab.table import Check, Key, Record, Table, Write

Probe = Callable[[str], None]
T = TypeVar("T")

WRITES = ("take_lease", "propose", "approve", "reserve", "claim", "checkpointed", "finish", "settle",
          "reserve_overhead", "release", "report", "delivered", "leave_lease", "budget", "settings")
OTHERS = ("queue.send", "queue.receive", "queue.done", "phase.start", "phase.end", "store.put", "journal.append",
          "mailbox.deliver", "beat")
STEPS = tuple(f"{name}.{when}" for name in (*WRITES, *OTHERS) for when in ("before", "after"))


def silent(step: str) -> None:
    """The probe of production."""


def from_environment(environment: Mapping[str, str]) -> Probe:
    """A probe that kills this process at `AETHER_KILL_AT=step:count`; `silent` where it is not set."""
    wanted = environment.get("AETHER_KILL_AT", "")
    if not wanted:
        return silent
    step, _, count = wanted.partition(":")
    seen: Counter[str] = Counter()

    def probe(name: str) -> None:
        seen[name] += 1
        if name == step and seen[name] == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
    return probe


class ProbedTable:
    """A table that tells the probe before and after each transaction, by its label."""

    def __init__(self, table: Table, probe: Probe) -> None:
        self._table, self._probe, self._label = table, probe, ""

    def get(self, kind: str, id: str) -> Record | None:
        return self._table.get(kind, id)

    def get_many(self, keys: Sequence[Key]) -> Sequence[Record]:
        return self._table.get_many(keys)

    def page(self, kind: str, *, tag: str | None = None, after: str = "", limit: int = 100,
             newest_first: bool = False) -> Sequence[Record]:
        return self._table.page(kind, tag=tag, after=after, limit=limit, newest_first=newest_first)

    def commit(self, writes: Sequence[Write], checks: Sequence[Check] = (), *, label: str = "") -> None:
        self._probe(f"{label}.before")
        self._table.commit(writes, checks, label=label)
        self._label = label

    def set(self, kind: str, id: str, body: bytes, tag: str = "") -> None:
        self._table.set(kind, id, body, tag)

    def delete(self, kind: str, ids: Iterable[str]) -> None:
        self._table.delete(kind, ids)

    @contextmanager
    def session(self) -> Iterator[None]:
        """What a session wrote is safe only when it has ended, so `after` is told there."""
        with self._table.session():
            yield
        if self._label:
            label, self._label = self._label, ""
            self._probe(f"{label}.after")


class Probed:
    """Passes everything on to `target`, and tells the probe before and after the methods named in `steps`."""

    def __init__(self, target: Any, probe: Probe, steps: Mapping[str, str]) -> None:
        self._target, self._probe, self._steps = target, probe, steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name not in self._steps:
            return found
        step = self._steps[name]

        def told(*arguments: Any, **named: Any) -> Any:
            self._probe(f"{step}.before")
            answer = found(*arguments, **named)
            self._probe(f"{step}.after")
            return answer
        return told


def told(target: T, probe: Probe, steps: Mapping[str, str]) -> T:
    """The same object, with those of its methods told to `probe`."""
    return target if probe is silent else cast(T, Probed(target, probe, steps))


def probed(backend: Backend, probe: Probe, clock: Clock) -> Backend:
    """The same backend with every step told to `probe`."""
    if probe is silent:
        return backend
    queue = {"send": "queue.send", "receive": "queue.receive", "done": "queue.done"}
    ledger = Probed(Ledger(ProbedTable(backend.ledger.table, probe), clock), probe, {"beat": "beat"})
    return msgspec.structs.replace(
        backend, ledger=ledger, queues={name: Probed(q, probe, queue) for name, q in backend.queues.items()},
        store=Probed(backend.store, probe, {"put": "store.put"}),
        mailbox=Probed(backend.mailbox, probe, {"deliver": "mailbox.deliver"}))
