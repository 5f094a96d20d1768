"""The runner of a machine that has a sandbox: what nobody trusts goes into a box, what is ours runs as a plain process.

A trusted phase is told how much memory its own boxes may have: it starts decoders in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from gpu_workers.phase import PhaseRequest
from gpu_workers.runner import Ended, ProcessRunner, Running
from gpu_workers.sandbox.box import SandboxFault
from gpu_workers.sandbox.boxed_phase import BoxedPhase
from gpu_workers.sandbox.devices import probe
from gpu_workers.sandbox.limits import Limits
from gpu_workers.sandbox.plan import Devices


class BoxRunner:
    """Implements `Runner`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._plain = clock, ProcessRunner(clock)

    def start(self, request: PhaseRequest, limit_s: float, memory_mb: int) -> Running:
        """Starts the phase. The calling thread must outlive it: the kernel ends the phase with that thread."""
        if request.trusted:
            return self._plain.start(msgspec.structs.replace(request, box_mb=memory_mb), limit_s, memory_mb)
        devices = probe() if request.spec.job_class == "gpu" else Devices()
        limits = Limits(memory_mb=memory_mb, limit_s=limit_s, private_memory=not devices.nodes)
        try:
            return BoxedPhase(request, limits, self._clock, devices)
        except SandboxFault as fault:
            return Ended("harness_fault", str(fault))
