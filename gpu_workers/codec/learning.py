"""The phase `train`: the family's encoding agent learns from the train clips, by the contract, and leaves its weights.

A checkpoint lies under one name and is replaced by a rename, so that whoever copies it while we run gets a whole one.
What the agent says of its progress is kept as a series for those who ask how training went; nothing is decided by it.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import msgspec

from gpu_workers.codec.contract import Frames, TrainInfo, load_encoding_agent
from gpu_workers.codec.encoding import open_clip
from gpu_workers.codec.frames import given
from gpu_workers.codec.phases import CHECKPOINT, MODEL, TRAINING
from gpu_workers.codec.two_agents import encoding_agent
from gpu_workers.machine import MachineLock
from gpu_workers.phase import Box, Refuse
from lab.errors import AetherError, Diverged, UserError

POINTS = 400  # of the series at most: every second one is dropped when it is full
NOTE = 200  # characters of a claim that is no number
RESUME = "resume"
TURN_S = 1.0


class Series:
    """Claims over time, thinned as they come, so that a long training leaves a short file."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self._every, self._seen = 1, 0

    def add(self, claims: dict[str, Any]) -> None:
        if self._seen % self._every == 0:
            self.points.append(claims)
        self._seen += 1
        if len(self.points) > POINTS:
            self.points = self.points[::2]
            self._every *= 2


class Turns:
    """A share of the machine that is given up for a moment each second, so that a timed section of somebody else need
    not wait for the end of a long training."""

    def __init__(self, machine: MachineLock) -> None:
        self._machine, self._share = machine, ExitStack()
        self._next = 0.0

    def __enter__(self) -> Self:
        self._share.enter_context(self._machine.shared())
        return self

    def __exit__(self, *_: object) -> None:
        self._share.close()

    def pass_on(self) -> None:
        if time.monotonic() >= self._next:
            self._share.close()
            self._share.enter_context(self._machine.shared())
            self._next = time.monotonic() + TURN_S


def train(box: Box) -> None:
    """Leaves `weights.safetensors` and `training.json`, and while it runs `checkpoint.safetensors`."""
    if box.spec.limit is None:
        raise Refuse("harness_fault", "a training without a limit")
    learn = _learner(box)
    clips: list[Frames] = [open_clip(clip) for clip in box.clips if clip.role == "train"]
    if not clips:
        raise Refuse("harness_fault", "no clip of the role train is bound; add one: aether clips add FILE --role train")
    series, begin = Series(), time.monotonic()

    def progress(**claims: Any) -> None:
        told = {name: _plain(value) for name, value in claims.items()}
        series.add({"seconds": round(time.monotonic() - begin, 2), **told})
        box.progress(**told)
        turns.pass_on()

    def checkpoint(path: Path) -> None:
        aside = box.out / f"{CHECKPOINT}.aside"
        shutil.copyfile(path, aside)
        os.replace(aside, box.out / CHECKPOINT)

    with TemporaryDirectory() as scratch, Turns(box.machine) as turns:
        info = TrainInfo(params=box.spec.params, scratch=Path(scratch), limit=box.spec.limit, seed=box.spec.seed,
                         threads=box.threads, resume=box.inputs.get(RESUME), checkpoint=checkpoint,
                         checkpoint_s=box.checkpoint_s, progress=progress)
        try:
            weights = learn(clips, info)
        except Diverged as error:
            raise Refuse("diverged", str(error)) from error
        except UserError as error:
            raise Refuse("refused", str(error)) from error
        except AetherError as error:
            raise Refuse("crash", str(error)) from error
        if not isinstance(weights, str | os.PathLike):
            raise Refuse("bad_output", f"train(clips, info) gave {given(weights)}, and not the path of its weights "
                                       f"(docs/two-agents.md)")
        shutil.copyfile(weights, box.out / MODEL)
    (box.out / TRAINING).write_bytes(msgspec.json.encode(series.points))


def _learner(box: Box) -> Callable[[list[Frames], TrainInfo], Path]:
    try:
        agent = load_encoding_agent(encoding_agent(box))
    except UserError as error:
        raise Refuse("refused", str(error)) from error
    learn: Callable[[list[Frames], TrainInfo], Path] | None = getattr(agent, "train", None)
    if learn is None:
        raise Refuse("refused", "the encoding agent has no function train(clips, info), and the spec asks for training")
    return learn


def _plain(value: Any) -> int | float | str | None:
    """What travels as JSON: numpy's and torch's numbers become ours, NaN and infinity null, anything else its text."""
    if isinstance(value, int):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)[:NOTE]
    return number if math.isfinite(number) else None
