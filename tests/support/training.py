"""A small learning codec, and a laboratory in which real workers train it and are killed.

The agent is numpy alone and learns by steps: what it does at a step is a pure function of seed and step. So a training
that was killed anywhere must end with the very bits of one that was left alone.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from gpu_workers.codec.phases import CHECKPOINT, DECODING_AGENT, ENCODING_AGENT, MODEL
from lab import bundle
from lab.backend import Backend, open_backend
from lab.canonical import canonical_json
from lab.control import Beat
from lab.experiment import Clip, Dataset, Experiment, Spec, TrainingLimit
from lab.space import Value
from support.boxes import need_sandbox
from support.footage import cut
from support.laboratory import BUDGET, USD, experiment

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "two-agents.md"
WORKER = "import sys; from gpu_workers.main import serve; serve(sys.argv[1])"
SETTINGS = "[limits]\nlease_s = 20\nbeat_s = 0.2\ngrace_s = 5\ncheckpoint_s = {checkpoint_s:g}\n"
OWN_S, NETWORK_S = 0.05, 0.5  # between checkpoints: a step of ours takes a hundredth of a second, a network's a tenth
WAIT_S = 300.0  # bounds every wait in which no checkpoint comes; nothing is asserted about time
LEARN = '''
import time

from safetensors.numpy import load_file, save_file


def train(clips, info):
    """Momentum towards the mean of random places of random frames, a hundredth of a second a step."""
    frames = [frame.planes[0] for clip in clips for frame in clip]
    state = {"step": np.zeros(1, np.int64), "share": np.zeros(64), "speed": np.zeros(64)}
    if info.resume is not None:
        state = load_file(info.resume)
    told = time.monotonic()
    for step in range(int(state["step"][0]), info.limit.steps):
        random = np.random.default_rng([info.seed, step])
        frame = frames[random.integers(len(frames))]
        seen = frame[random.integers(frame.shape[0], size=64), random.integers(frame.shape[1], size=64)] / 255.0
        state["speed"] = 0.9 * state["speed"] + (seen - state["share"])
        state["share"] = state["share"] + 0.01 * state["speed"]
        state["step"][0] = step + 1
        loss = float(np.square(seen - state["share"]).mean())
        if step == info.params.get("explode_at"):
            raise Diverged(f"the loss became {loss * 1e9:.3g} at step {step}")
        info.progress(step=step + 1, steps=info.limit.steps, loss=loss)
        if time.monotonic() - told >= info.checkpoint_s:
            save_file(state, info.scratch / "state")
            info.checkpoint(info.scratch / "state")
            told = time.monotonic()
        time.sleep(0.01)
    path = info.scratch / "weights.safetensors"
    weights = {"share": np.array([round(200 * state["share"].mean())], np.int32), "all": state["share"]}
    save_file(weights, path)
    return path
'''


def printed() -> dict[str, str]:
    """The pair of agents of the documentation, as printed there."""
    return dict(re.findall(r"```python (\w+\.py)\n(.*?)```", PAGE.read_text(), re.DOTALL))


def learner() -> dict[str, str]:
    """That pair with a training that takes its time."""
    files = printed()
    head, _, rest = files[ENCODING_AGENT].partition("def train(")
    encode = rest[rest.index("\n\n\ndef encode("):]
    return {ENCODING_AGENT: head + LEARN.lstrip() + encode, DECODING_AGENT: files[DECODING_AGENT]}


class TrainingLab:
    """A laboratory with one queued training: of the small agent here, or of a `family` of ours. The test is its daemon;
    `worker` starts a real worker process."""

    def __init__(self, folder: Path, steps: int, family: str = "candidate", **params: Value) -> None:
        if family == "candidate":
            need_sandbox()
        self.folder, self._ops = folder, count(1)
        self._backend: Backend | None = None
        backend = open_backend(self.address, create=True)
        clips = tuple(Clip(name=role, role=role, hash=backend.store.put(  # type: ignore[arg-type]
            cut(clip, frames, folder.parent, "scale=96:54"))) for role, clip, frames in (
                ("train", "drive_1080p30", 6), ("score", "flower_720p30", 2)))
        self.spec = Spec(track="codec", family=family, params=params, seed=1, protocol=1,
                         limit=TrainingLimit(steps=steps),
                         code=bundle.write(backend.store, learner()) if family == "candidate" else None,
                         clips=backend.store.put_bytes(canonical_json(Dataset(clips=clips))))
        office, accounts = backend.ledger.office, backend.ledger.accounts
        often_s = OWN_S if family == "candidate" else NETWORK_S
        office.push_settings(SETTINGS.format(checkpoint_s=often_s), op_id="settings")
        self.epoch = office.take_lease("test", host="here", pid=1, observed=None, op_id="lease")
        accounts.set_cap(BUDGET, 1000 * USD, op_id="cap")
        backend.ledger.propose(experiment("e0001", self.spec), epoch=self.epoch, op_id="propose")
        backend.ledger.approve("e0001", epoch=self.epoch, op_id="approve")
        self.offer()

    @property
    def address(self) -> str:
        return f"local:{self.folder}"

    @property
    def lab(self) -> Backend:
        """Opened once where it lies: whoever waits looks fifty times a second."""
        if self._backend is None or self._backend.address != self.address:
            self._backend = open_backend(self.address)
        return self._backend

    @property
    def now(self) -> Experiment:
        return self.lab.ledger.experiment("e0001")

    def offer(self) -> None:
        """Money for the next attempt, and a message to whoever works."""
        self.lab.ledger.reserve("e0001", USD, (BUDGET,), price_usd_h=1.0, epoch=self.epoch, op_id=self._op())
        self.lab.queues["cpu"].send("e0001")

    def worker(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
        return subprocess.Popen([sys.executable, "-c", WORKER, self.address], cwd=self.folder.parent,
                                env=environment, start_new_session=True)

    def unplug(self, worker: subprocess.Popen[bytes]) -> None:
        """The worker dies at once; the daemon finds that it is silent, and offers the work again."""
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        now = self.now
        self.lab.ledger.release(now.id, now.fence, "lost", used_s=1.0, epoch=self.epoch, op_id=self._op())
        self.offer()

    def move(self) -> None:
        """The folder stands elsewhere, as on another machine."""
        self.folder = self.folder.rename(self.folder.with_name(f"{self.folder.name}m"))

    def kept(self) -> str:
        """The hash of the last checkpoint."""
        train = self.now.checkpoints.get("train")
        return train.outputs.get(CHECKPOINT, "") if train else ""

    def weights(self) -> str:
        train = self.now.checkpoints.get("train")
        return train.outputs[MODEL] if train and train.done else ""

    def last_beat(self) -> Beat | None:
        """Where the worker was, for whoever waits in vain: its phase, and the step that the training claims."""
        return self.lab.ledger.beat_of(self.now.id, self.now.fence)

    def until(self, reached: Callable[[], object], what: str) -> None:
        end, kept = time.monotonic() + WAIT_S, self.kept()
        while not reached():
            if kept != (kept := self.kept()):  # it gets further, however slowly
                end = time.monotonic() + WAIT_S
            assert time.monotonic() < end, f"waited in vain for {what}; {self.now}; its last beat: {self.last_beat()}"
            time.sleep(0.02)

    def _op(self) -> str:
        return f"op{next(self._ops)}"
