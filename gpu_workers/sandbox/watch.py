"""Whether a box has too much of something: memory above its ceiling, files without end, or a machine without any left.

Looked at every tenth of a second, from outside. What processes share counts more than once in the cheap figure, so the
exact one is taken before anything is ended for it.
"""

from __future__ import annotations

import psutil

from gpu_workers.phase import Failure
from gpu_workers.sandbox.inside import Inside, Usage
from gpu_workers.sandbox.limits import HOST_FLOOR, INODES


def excess(inside: Inside, usage: Usage, limit_mb: int) -> Failure | None:
    """Why the box has to end now, or None."""
    if usage.inodes > INODES:
        return Failure(reason="disk", detail=f"{usage.inodes} files, and {INODES} are allowed")
    if usage.total_mb > limit_mb:
        exact_mb = usage.total_mb - usage.resident_mb + inside.exact_resident_mb()
        if exact_mb > limit_mb:
            return Failure(reason="memory", detail=f"{exact_mb:.0f} MB of {limit_mb} MB in use")
    memory = psutil.virtual_memory()
    if memory.available < HOST_FLOOR * memory.total:
        return Failure(reason="harness_fault", detail=f"the machine has {memory.available >> 20} MB left")
    return None
