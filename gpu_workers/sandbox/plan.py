"""What one box is to be, as plain data: a command, what is bound for it to read, and its ceilings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpu_workers.sandbox.limits import Limits

CODE, IN, OUT, SCRATCH, SHM = "/code", "/in", "/out", "/scratch", "/dev/shm"


@dataclass(frozen=True)
class Bind:
    """A file or folder of this machine, and the path under which the box reads it."""

    source: Path
    target: str


@dataclass(frozen=True)
class Devices:
    """A graphics processor as the box gets it; empty on a machine without."""

    name: str = ""
    nodes: tuple[str, ...] = ()  # under /dev
    system: bool = False  # whether its driver wants /sys


@dataclass(frozen=True)
class Plan:
    """`files` are small ones that exist nowhere else: their bytes are copied in, and no path of ours shows. `hidden`
    are folders within what is bound, by where they lie here and in the box, that the box finds empty; `usr` is what it
    sees of the system.
    """

    command: tuple[str, ...]
    binds: tuple[Bind, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    threads: int = 1
    usr: tuple[str, ...] = ("/usr",)
    hidden: tuple[tuple[Path, str], ...] = ()
    devices: Devices = field(default_factory=Devices)
