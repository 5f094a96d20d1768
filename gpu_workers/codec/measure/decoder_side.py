"""What a decoder process is started with: the frozen weights, a candidate's decoding agent, and its box.

In a box the decoder sees these two, Python and our packages, and nothing else; the bitstream comes through a pipe. A
person's own decoding on the command line has no box: the code is ours or theirs, and so are the files.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from gpu_workers.sandbox import lean
from gpu_workers.sandbox.limits import Limits
from gpu_workers.sandbox.plan import IN, Bind, Devices, Plan
from gpu_workers.sandbox.residue import settle
from gpu_workers.sandbox.runtime import interpreter, packages, python

MODULE = "gpu_workers.codec.decoder"
MODEL, AGENT = f"{IN}/model.safetensors", f"{IN}/decoding_agent.py"
DECODE_S = 3600.0  # of one processor, at most; the phase that reads the frames has a wall clock of its own


@dataclass(frozen=True)
class DecoderSide:
    """`agent` is a family's name and the file of its decoding agent. `box_mb` is 0 for a plain process, `devices` are
    what a box is given.
    """

    model: Path | None = None
    agent: tuple[str, Path] | None = None
    box_mb: int = 0
    devices: Devices = field(default_factory=Devices)

    def command(self, threads: int, ready: int) -> list[str]:
        """For a plain process; `ready` is the descriptor on which it says so."""
        return [sys.executable, "-m", MODULE, *self._options(threads, ready, self.model, self.agent and self.agent[1])]

    def plan(self, threads: int, ready: int) -> Plan:
        """For a box."""
        binds = [Bind(self.model.resolve(), MODEL)] if self.model else []
        binds += [Bind(self.agent[1].resolve(), AGENT)] if self.agent else []
        options = self._options(threads, ready, self.model and Path(MODEL), self.agent and Path(AGENT))
        program = f"from {MODULE}.__main__ import main; sys.exit(main())"
        plan = Plan(command=interpreter(program, *options), binds=(*python(), *packages(), *binds), threads=threads,
                    limits=Limits(memory_mb=self.box_mb, limit_s=DECODE_S, private_memory=not self.devices.nodes),
                    devices=self.devices)
        return replace(plan, usr=lean.usr(), hidden=lean.hidden()) if self.agent else plan

    def settle(self) -> None:
        """To be called when all that has seen the clip is dead, and before a decoder from outside is started: leaves it
        nothing to read from the state of this machine's memory."""
        if self.box_mb and self.agent:
            settle(self.plan(1, 0))

    def _options(self, threads: int, ready: int, model: Path | None, agent: Path | None) -> list[str]:
        options = ["--threads", str(threads), "--ready-fd", str(ready)]
        options += ["--model", str(model)] if model else []
        return options + (["--agent", f"{self.agent[0]}={agent}"] if self.agent else [])
