"""From a plan to bubblewrap's arguments, in the order that matters: mounts first, then all of them read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpu_workers.sandbox.limits import FILES_SHARE
from gpu_workers.sandbox.plan import IN, OUT, SCRATCH, SHM, Plan
from gpu_workers.sandbox.runtime import system

UID = "1000"  # inside every box alike
ISOLATED = ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv",
            "--cap-drop", "ALL", "--uid", UID, "--gid", UID, "--hostname", "lab")


@dataclass(frozen=True)
class Descriptors:
    """Our ends of the handshake, as the numbers that bubblewrap inherits."""

    info: int
    status: int
    block: int
    filters: Sequence[int]
    files: Mapping[str, int]


def arguments(plan: Plan, sources: Sequence[str], ours: Descriptors) -> list[str]:
    """Everything before the command. `sources` are the paths of the plan's binds as bubblewrap is to find them."""
    return [*ISOLATED, *system(plan.usr), "--proc", "/proc", "--dev", "/dev", *_devices(plan), *_file_systems(plan),
            "--dir", IN, *_inputs(plan, sources, ours), "--remount-ro", "/dev", "--remount-ro", "/proc",
            "--remount-ro", "/", *_environment(plan), "--chdir", SCRATCH, *_handshake(ours)]


def _devices(plan: Plan) -> list[str]:
    nodes = [word for node in plan.devices.nodes for word in ("--dev-bind", node, node)]
    system = ("--ro-bind", "/sys", "/sys", *_nothing_at("/sys/fs")) if plan.devices.system else ()
    return [*nodes, *system]


def _file_systems(plan: Plan) -> list[str]:
    """Without a size each would be half of the machine's memory."""
    size = str(plan.limits.memory_bytes // FILES_SHARE)
    return [word for place in (SHM, SCRATCH, OUT) for word in ("--size", size, "--tmpfs", place)]


def _inputs(plan: Plan, sources: Sequence[str], ours: Descriptors) -> list[str]:
    bound = [word for source, bind in zip(sources, plan.binds, strict=True)
             for word in ("--ro-bind", source, bind.target)]
    copied = [word for place, descriptor in ours.files.items()
              for word in ("--perms", "0444", "--ro-bind-data", str(descriptor), place)]
    covered = [word for _, place in plan.hidden for word in _nothing_at(place)]
    return [*bound, *covered, *copied]


def _nothing_at(place: str) -> tuple[str, ...]:
    return ("--size", "4096", "--tmpfs", place, "--remount-ro", place)


def _environment(plan: Plan) -> list[str]:
    fixed = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": SCRATCH, "TMPDIR": SCRATCH, "LANG": "C.UTF-8", "TZ": "UTC",
             "OMP_NUM_THREADS": str(plan.threads), "OMP_WAIT_POLICY": "PASSIVE"}  # runner.py says why
    return [word for name, value in fixed.items() for word in ("--setenv", name, value)]


def _handshake(ours: Descriptors) -> list[str]:
    filters = [word for descriptor in ours.filters for word in ("--add-seccomp-fd", str(descriptor))]
    return [*filters, "--info-fd", str(ours.info), "--json-status-fd", str(ours.status), "--block-fd", str(ours.block)]
