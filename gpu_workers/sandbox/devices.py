"""Which graphics processor this machine has, as the kernel shows it: looked for at each start, never assumed.

Nothing is loaded and nothing is asked of a driver: a node that is there is bound, and the box's own libraries find out
whether it works. A box with a processor has no RLIMIT_DATA, and may make anonymous files, which its driver needs.
"""

from __future__ import annotations

import re
from pathlib import Path

from gpu_workers.sandbox.plan import Devices

NVIDIA_SHARED = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")


def probe(dev: Path = Path("/dev")) -> Devices:
    """The first NVIDIA card, else the first ROCm one, else none."""
    cards = sorted(path.name for path in dev.glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name))
    if cards and (dev / "nvidiactl").exists():
        shared = [name for name in NVIDIA_SHARED if (dev / name).exists()]
        return Devices(name=cards[0], nodes=tuple(f"/dev/{name}" for name in (cards[0], *shared)), system=True)
    rendering = sorted((dev / "dri").glob("renderD*"))
    if rendering and (dev / "kfd").exists():
        return Devices(name=rendering[0].name, nodes=("/dev/kfd", f"/dev/dri/{rendering[0].name}"), system=True)
    return Devices()
