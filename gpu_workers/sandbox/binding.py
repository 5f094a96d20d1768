"""From a phase's request to the plan of its box: inputs under neutral paths, and the request rewritten to match.

The box sees the very bytes that the worker verified, bound read-only: links into the store are followed here, by us.
What it is told of itself (its output folder, a lock of the machine that is nobody else's) lies inside.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from gpu_workers.phase import PhaseRequest
from gpu_workers.sandbox.limits import Limits
from gpu_workers.sandbox.plan import IN, OUT, SCRATCH, Bind, Devices, Plan
from gpu_workers.sandbox.runtime import interpreter, packages, python

REQUEST = f"{IN}/request.json"


def phase_plan(request: PhaseRequest, limits: Limits, progress: int, devices: Devices) -> Plan:
    """`progress` is the descriptor on which the box's claims leave it."""
    inputs = {name: f"{IN}/inputs/{name.rstrip('/')}" for name in request.inputs}
    binds = [bind for name, target in inputs.items() for bind in input_binds(Path(request.inputs[name]), target)]
    clips = []
    for number, clip in enumerate(request.clips):
        target = f"{IN}/clips/{number}"
        binds.append(Bind(Path(clip.path).resolve(), target))
        clips.append(msgspec.structs.replace(clip, path=target))
    inner = msgspec.structs.replace(request, out=OUT, inputs=inputs, clips=tuple(clips),
                                    machine_lock=f"{SCRATCH}/machine.lock")
    own = request.entry.partition(":")[0].partition(".")[0]
    program = f"from gpu_workers.phase import in_box; sys.exit(in_box({REQUEST!r}, {progress}))"
    return Plan(command=interpreter(program), binds=(*python(), *packages(own), *binds),
                files={REQUEST: msgspec.json.encode(inner)}, limits=limits, threads=request.threads, devices=devices)


def input_binds(source: Path, target: str) -> list[Bind]:
    """A folder is bound file by file, each link's own file."""
    if not source.is_dir():
        return [Bind(source.resolve(), target)]
    found = sorted(path for path in source.rglob("*") if path.is_file())
    return [Bind(path.resolve(), f"{target}/{path.relative_to(source)}") for path in found]
