"""The folder in which one attempt works: inputs laid out as links to verified bytes, outputs taken from it, then gone.

Inputs come from the store, checked against their hashes; a clip or an earlier output that is missing or damaged is the
harness's fault, never the candidate's.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol

import structlog

from gpu_workers.checkpoint import LIVE_BYTES, mark, marked, unmark
from gpu_workers.collect import collect
from gpu_workers.machine import default_path
from gpu_workers.phase import ARTEFACTS, BoundClip, PhaseRequest
from lab import bundle
from lab.backend import Store
from lab.errors import Damaged, NotFound
from lab.experiment import Checkpoint, Dataset, Experiment, Terms
from lab.objects import read_as
from lab.track import Phase

OUTPUT_BYTES = 2 << 30  # all the outputs of a phase together
CODE = "code/"  # the input that stands for a candidate's bundle
RESUME = "resume"  # the input that stands for a phase's own last live output

log = structlog.get_logger("worker")


class Workspace(Protocol):
    """Where the phases of one attempt run. The simulator has one of its own."""

    def request(self, experiment: Experiment, phase: Phase, terms: Terms) -> PhaseRequest: ...

    def keep(self, phase: Phase) -> dict[str, str]:
        """Store what the phase left; output name → hash. Raises NotCollected."""
        ...

    def keep_live(self, phase: Phase) -> dict[str, str]:
        """Store the phase's live output as it stands; its name → hash, which no other experiment has. Raises
        NotCollected."""
        ...

    def clean(self) -> None: ...


class FolderWorkspace:
    """Implements `Workspace` in `folder`, which is this attempt's own."""

    def __init__(self, folder: Path, store: Store, id: str) -> None:
        """`id` is the experiment's."""
        self._folder, self._store, self._id = folder, store, id

    def request(self, experiment: Experiment, phase: Phase, terms: Terms) -> PhaseRequest:
        """Everything that the phase declared as its input, bound. Raises NotFound or Damaged."""
        out = self._folder / phase.name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        roles = {name.partition(":")[2] for name in phase.inputs if name.startswith("clips:")}
        earlier = {name: self._lay_out(name, experiment.checkpoints) for name in phase.inputs
                   if not name.startswith("clips:") and name != CODE}
        if CODE in phase.inputs and experiment.spec.code:
            earlier[CODE] = self._lay_out_code(experiment.spec.code)
        earlier |= self._resume(phase, experiment.checkpoints.get(phase.name))
        return PhaseRequest(entry=phase.entry, spec=experiment.spec, out=str(out), threads=terms.threads,
                            clips=self._clips(experiment.spec.clips, roles), inputs=earlier,
                            timed=phase.timed and experiment.purpose == "confirm", machine_lock=str(default_path()),
                            checkpoint_s=terms.checkpoint_s, trusted=phase.trusted, outputs=phase.outputs)

    def keep(self, phase: Phase) -> dict[str, str]:
        out = self._folder / phase.name
        declared = [*phase.outputs, *([ARTEFACTS] if (out / ARTEFACTS).is_dir() else [])]
        return {name: self._store.put(path) for name, path in collect(out, tuple(declared), OUTPUT_BYTES).items()}

    def keep_live(self, phase: Phase) -> dict[str, str]:
        [path] = collect(self._folder / phase.name, (phase.live,), LIVE_BYTES).values()
        target = self._folder / "live" / phase.name
        mark(path, target, marked(self._id, phase.name))
        return {phase.live: self._store.put(target)}

    def clean(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _clips(self, dataset: str, roles: set[str]) -> tuple[BoundClip, ...]:
        if not roles:
            return ()
        clips = read_as(self._store, dataset, Dataset, "clip set").clips
        return tuple(BoundClip(name=clip.name, hash=clip.hash, role=clip.role, path=str(self._store.fetch(clip.hash)),
                               facts=clip.facts) for clip in clips if clip.role in roles)

    def _lay_out_code(self, hash: str) -> str:
        """A candidate's bundle as files."""
        target = self._folder / "in" / "code"
        target.mkdir(parents=True, exist_ok=True)
        for name, text in bundle.read(self._store, hash).items():
            (target / name).write_text(text)
        return str(target)

    def _resume(self, phase: Phase, last: Checkpoint | None) -> dict[str, str]:
        """What an attempt that was interrupted in this very phase has left, if it left anything. One that is gone, as
        under a ledger that was restored from an older day, or damaged, costs the way up to it and nothing else."""
        hash = last.outputs.get(phase.live) if last and phase.live and not last.done else None
        target = self._folder / "in" / RESUME / phase.name
        try:
            if hash and unmark(self._store.fetch(hash), target, marked(self._id, phase.name)):
                return {RESUME: str(target)}
        except (NotFound, Damaged) as fault:
            log.warning("no checkpoint to go on from; its phase begins anew", experiment=self._id, phase=phase.name,
                        why=str(fault))
        return {}

    def _lay_out(self, name: str, checkpoints: dict[str, Checkpoint]) -> str:
        """`encode/streams/` becomes a folder of links, `train/weights` one link."""
        phase, _, output = name.partition("/")
        target = self._folder / "in" / phase
        shutil.rmtree(target / output, ignore_errors=True)
        for kept, hash in checkpoints[phase].outputs.items():
            if kept == output or (output.endswith("/") and kept.startswith(output)):
                link = target / kept
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                os.symlink(self._store.fetch(hash), link)
        return str(target / output)
