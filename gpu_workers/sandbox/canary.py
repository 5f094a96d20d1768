"""The canary: before a worker trusts its sandbox it has attacked one, and has run what the installed tracks need in it.

Asked once a process. Where it fails, the reason names the fix, what is ours runs as plain processes, and code from
outside is refused.
"""

from __future__ import annotations

import json
import select
import subprocess
import tempfile
import time
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import msgspec

from gpu_workers.phase import PhaseRequest
from gpu_workers.runner import ProcessRunner, Runner
from gpu_workers.sandbox.box import Box, SandboxFault, bubblewrap
from gpu_workers.sandbox.bytecode import compile_needs
from gpu_workers.sandbox.limits import Limits
from gpu_workers.sandbox.plan import Plan
from gpu_workers.sandbox.runner import BoxRunner
from gpu_workers.sandbox.runtime import interpreter, packages, python
from lab.experiment import Spec
from lab.track import Track

TRIAL_S, END_S, TRACK_S = 60.0, 5.0, 120.0
MEMORY_MB = 2048
POLL_S = 0.005


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this machine has one; if not, why, with the fix."""

    works: bool
    why: str = ""
    by: str = ""


def runner_here() -> Runner:
    """Boxes where they hold; else plain processes, which refuse code from outside."""
    if not sandbox_here().works:
        return ProcessRunner()
    compile_needs(_tracks())
    return BoxRunner()


@cache
def sandbox_here() -> Sandbox:
    try:
        version = subprocess.run([bubblewrap(), "--version"], capture_output=True, text=True).stdout.strip()
        _attack()
        for track in _tracks():
            _run_track(track)
    except SandboxFault as fault:
        return Sandbox(works=False, why=str(fault))
    return Sandbox(works=True, by=version)


def _attack() -> None:
    """Raises SandboxFault where an attack gets through, or the box outlives its end."""
    plan = Plan(command=interpreter("from gpu_workers.sandbox.trial import main; main()"),
                binds=(*python(), *packages()), limits=Limits(memory_mb=MEMORY_MB, limit_s=TRIAL_S))
    box = Box(plan, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        box.release()
        got_through = _report(box)
        if got_through:
            raise SandboxFault(f"the sandbox of this machine does not hold: {'; '.join(got_through)}")
        begin = time.monotonic()
        box.kill()
        box.wait()
        if time.monotonic() - begin > END_S:
            raise SandboxFault(f"the sandbox of this machine took {time.monotonic() - begin:.1f} s to end a box")
    finally:
        box.close()


def _report(box: Box) -> list[str]:
    output = box.process.stdout
    assert output is not None  # a pipe of ours
    ready, _, _ = select.select([output], [], [], TRIAL_S)
    line = output.readline() if ready else b""
    if not line:
        box.kill()
        raise SandboxFault(f"nothing runs in the sandbox of this machine: {box.why()}")
    told: list[str] = json.loads(line)["got_through"]
    return told


def _tracks() -> list[Track]:
    return [point.load() for point in entry_points(group="aether.tracks")]


def _run_track(track: Track) -> None:
    """Raises SandboxFault where what the track's phases are made of does not run in a box."""
    if not track.canary:
        return
    spec = Spec(track=track.name, family="canary", params={}, clips="", seed=0, protocol=track.protocol)
    with tempfile.TemporaryDirectory() as folder:
        request = PhaseRequest(entry=track.canary, spec=spec, out=folder, machine_lock=str(Path(folder, "lock")))
        running = BoxRunner().start(request, TRACK_S, MEMORY_MB)
        while (end := running.poll()) is None:
            time.sleep(POLL_S)
    if end.reason is not None:
        raise SandboxFault(f"the track {track.name} does not run in the sandbox of this machine: {end.detail}")
