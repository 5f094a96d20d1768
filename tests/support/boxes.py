"""Running one function of `support.attacks` in a real box, as the worker would, and what came of it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from gpu_workers.phase import BoundClip, PhaseRequest
from gpu_workers.runner import PhaseEnd, Running
from gpu_workers.sandbox.canary import sandbox_here
from gpu_workers.sandbox.runner import BoxRunner
from lab.experiment import Spec
from lab.space import Value

NAMES = ("result.json",)


def need_sandbox() -> None:
    """A person's machine may have none; ours always does."""
    found = sandbox_here()
    if not found.works and os.environ.get("CI") != "true":
        pytest.skip(found.why)
    assert found.works, found.why


@dataclass(frozen=True)
class Attack:
    """A box that has ended."""

    end: PhaseEnd
    out: Path
    claims: list[dict[str, object]]

    @property
    def told(self) -> dict[str, str]:
        """What the attack says of itself: its name → how it was answered."""
        assert self.end.reason is None, self.end
        found: dict[str, str] = msgspec.json.decode((self.out / "result.json").read_bytes())
        return found


def start(entry: str, out: Path, params: dict[str, Value] | None = None, *, limit_s: float = 60.0,
          memory_mb: int = 512, outputs: tuple[str, ...] = NAMES, inputs: dict[str, str] | None = None,
          clips: tuple[BoundClip, ...] = ()) -> Running:
    need_sandbox()
    out.mkdir(parents=True, exist_ok=True)
    spec = Spec(track="attack", family="attack", params=params or {}, clips="c" * 64, seed=1, protocol=1)
    request = PhaseRequest(entry=f"support.attacks:{entry}", spec=spec, out=str(out), outputs=outputs,
                           inputs=inputs or {}, clips=clips, machine_lock=str(out.parent / "machine.lock"))
    return BoxRunner().start(request, limit_s, memory_mb)


def finish(running: Running, out: Path) -> Attack:
    claims: list[dict[str, object]] = []
    while (end := running.poll()) is None:
        claims += running.progress()
        time.sleep(0.005)
    return Attack(end, out, claims + running.progress())


def attack(entry: str, out: Path, params: dict[str, Value] | None = None, *, limit_s: float = 60.0,
           memory_mb: int = 512, outputs: tuple[str, ...] = NAMES, inputs: dict[str, str] | None = None) -> Attack:
    running = start(entry, out, params, limit_s=limit_s, memory_mb=memory_mb, outputs=outputs, inputs=inputs)
    return finish(running, out)
