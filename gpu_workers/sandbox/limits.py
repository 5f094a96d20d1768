"""The ceilings of a box: what `prlimit` sets inside it, how large its file systems are, and when a watch ends it.

Nothing here asks for a control group: an ordinary user of an ordinary machine has none. So private memory ends in
ENOMEM at RLIMIT_DATA, and what passes that (shared mappings, files in memory, many processes) meets the watch.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

PROCESSES, PROCESSES_A_CORE = 64, 16  # threads count too, and encoders have pools of them
OPEN_FILES = 1024
LOCKED_BYTES = 8 << 20
CPU_GRACE_S = 5  # between SIGXCPU and SIGKILL
LOOK_INTERVAL_S = 0.1  # of the watch; gigabytes can appear in between, so a ceiling needs headroom above it
INODE_BYTES = 1400  # what the kernel keeps for an empty file in memory
INODES = 100_000
FILES_SHARE = 2  # each file system in memory may fill the ceiling over this
HOST_SHARE = 0.25  # of what a box holds: so much has to stay available on the machine
HOST_FLOOR = 0.10  # of the machine's memory, where it cannot be seen what a box holds


@dataclass(frozen=True)
class Limits:
    """What one box may use. `private_memory` is off where a GPU's driver maps far more than it uses."""

    memory_mb: int = 4096
    limit_s: float = 600.0
    private_memory: bool = True

    @property
    def memory_bytes(self) -> int:
        return self.memory_mb << 20

    def prlimit(self) -> list[str]:
        """The command in front of the box's own. It runs inside: there RLIMIT_NPROC counts the box and nobody else."""
        cores = len(os.sched_getaffinity(0))
        cpu_s = math.ceil(self.limit_s * cores) + 1
        most = PROCESSES + PROCESSES_A_CORE * cores
        options = {"nproc": most, "core": 0, "nofile": OPEN_FILES, "memlock": LOCKED_BYTES, "msgqueue": 0,
                   "fsize": self.memory_bytes}
        data = [f"--data={self.memory_bytes}:{self.memory_bytes}"] if self.private_memory else []
        return ["/usr/bin/prlimit", *(f"--{name}={value}:{value}" for name, value in options.items()), *data,
                f"--cpu={cpu_s}:{cpu_s + CPU_GRACE_S}", "--"]
