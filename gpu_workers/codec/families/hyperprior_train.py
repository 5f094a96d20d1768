"""Trains a `hyperprior` model: Adam, a flat rate and then a cosine, until so many steps or seconds have passed.

A step depends on (seed, step) and the state alone, so a training that was interrupted goes on to the very weights it
would have had; a limit in seconds counts on from those that the checkpoint had used. bf16 and fp32 are chosen by the
device, but entropy models and the hyper-decoder stay in fp32: they must be what they will be in whole numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from gpu_workers.codec.contract import Frames, TrainInfo
from gpu_workers.codec.decoder.hyperprior_model import Shape, save_model
from gpu_workers.codec.families.hyperprior_data import Pool
from gpu_workers.codec.families.hyperprior_freeze import frozen
from gpu_workers.codec.families.hyperprior_network import Network
from lab.errors import Diverged, UserError
from lab.experiment import TrainingLimit

BATCH_SAMPLES = 8 * 128 * 128  # luma samples a step, about, of each frame
MOST_GRADIENT = 1.0
FLAT_SHARE = 0.3
LAST_RATE = 0.01  # of the highest
WARM_STEPS = 50
TOLD_EVERY = 10
EXPLODED = 100.0  # times the loss at the start
ASTRAY = 20  # steps in a row with a loss that exploded; single crops come near it and mean nothing
SKIPPED = 10.0  # times the usual gradient: the step is not taken. About one crop in thousands throws the others back
_USUAL_SHARE = 0.02  # of each step in what is usual
_PEAK = 255.0
_SEED_STRIDE = 1_000_003
_COUNT = "step"  # Adam's own, which stays on the processor
Clock = Callable[[], float]


def learn(clips: Sequence[Frames], info: TrainInfo, shape: Shape, clock: Clock = time.monotonic) -> Path:
    """The model file. Raises Diverged. `clock` counts a limit in seconds."""
    torch: Any = import_module("torch")
    torch.set_num_threads(max(1, info.threads))
    crop = int(info.params["crop"])
    training = Training(shape, info, Pool(clips, shape.frames, crop), max(1, round(BATCH_SAMPLES / crop**2)))
    if info.resume is not None:
        training.load(info.resume)
    budget = Budget(info.limit, training, clock)
    saved_at = time.monotonic()
    while (share := budget.share()) < 1:
        training.one(share)
        budget.count()
        if training.step % TOLD_EVERY == 0:
            info.progress(step=training.step, share=round(share, 4), **training.told())
        if time.monotonic() - saved_at >= info.checkpoint_s:
            info.checkpoint(training.save(info.scratch / "checkpoint.safetensors"))
            saved_at = time.monotonic()
    path = info.scratch / "model.safetensors"
    save_model(path, frozen(training.network, training.crops()))
    return path


class Training:
    """The state that a checkpoint holds, and one step of it."""

    def __init__(self, shape: Shape, info: TrainInfo, pool: Pool, batch: int) -> None:
        self._torch: Any = import_module("torch")
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        self._torch.backends.cudnn.allow_tf32 = False  # its 10 bit would round the hyper-decoder's whole numbers
        self._pool, self._batch, self._seed = pool, batch, info.seed
        self._price = float(info.params["price"]) * _PEAK**2
        self._rate = float(info.params["rate"])
        self.step, self.used_s, self.first_loss = 0, 0.0, math.inf
        self.usual_gradient, self.astray = 0.0, 0
        self._last: dict[str, Any] = {}
        self._waited_s, self._told_at = 0.0, time.monotonic()
        self._torch.manual_seed(info.seed)
        self.network = Network(shape, float(info.params["price"]), float(info.params["chroma"]))
        self.network.to(self._device, memory_format=self._torch.channels_last)
        if info.resume is None:
            self.network.calibrate(self.crops())
        self._named = {name: one for name, one in self.network.named_parameters() if not name.endswith("quantiles")}
        self._adam = self._torch.optim.Adam(self._named.values(), lr=self._rate)

    def one(self, share: float) -> None:
        """One step, `share` of the way through the training."""
        torch = self._torch
        torch.manual_seed(self._seed * _SEED_STRIDE + self.step + 1)
        with self._precision():
            bits, errors = self.network(self.crops())
        bits_px = bits.mean() / self._pixels
        error = (errors.mean(dim=0) * self.network.plane_weights).sum()
        loss = bits_px + self._price * error
        for group in self._adam.param_groups:
            group["lr"] = self._rate * schedule(share) * min(1.0, (self.step + 1) / WARM_STEPS)
        self._adam.zero_grad(set_to_none=True)
        loss.backward()
        gradient = float(torch.nn.utils.clip_grad_norm_(self._named.values(), MOST_GRADIENT))
        if self._is_usual(gradient):
            self._adam.step()
        self.step += 1
        self._last = {"loss": loss.detach(), "bits_px": bits_px.detach(), "error": error.detach()}
        self._check(float(loss.detach()), gradient)

    def told(self) -> dict[str, float]:
        """Of the last step; and of the time since this was last asked, the share in which footage was waited for."""
        now = time.monotonic()
        waits = 100 * self._waited_s / max(now - self._told_at, 1e-9)
        self._waited_s, self._told_at = 0.0, now
        return {**{name: round(float(value), 6) for name, value in self._last.items()},
                "data_wait_pct": round(min(waits, 100.0), 1)}

    def save(self, path: Path) -> Path:
        """Everything that the next step depends on."""
        state = {f"network.{name}": one for name, one in self.network.state_dict().items()}
        for name, parameter in self._named.items():
            state |= {f"adam.{name}.{part}": one for part, one in self._adam.state[parameter].items()}
        at = [self.step, self.used_s, self.first_loss, self.usual_gradient, self.astray]
        state |= {"at": self._torch.tensor(at, dtype=self._torch.float64)}
        plain = {name: one.detach().cpu().contiguous().clone() for name, one in state.items()}
        import_module("safetensors.torch").save_file(plain, path)
        return path

    def load(self, path: Path) -> None:
        """Raises UserError for a checkpoint of another training."""
        try:
            state = import_module("safetensors.torch").load_file(path)
            own = self.network.state_dict()
            for name, one in own.items():
                one.copy_(state[f"network.{name}"])
            for name, parameter in self._named.items():
                prefix = f"adam.{name}."
                found = {key.removeprefix(prefix): one for key, one in state.items() if key.startswith(prefix)}
                self._adam.state[parameter] = {part: one if part == _COUNT else one.to(self._device)
                                               for part, one in found.items()}
            step, self.used_s, self.first_loss, *more = state["at"].tolist()
            self.usual_gradient, astray = more or (0.0, 0)  # neither was kept before steps could be passed over
            self.step, self.astray = int(step), int(astray)
        except Exception as error:  # safetensors has no narrower error that covers a bad file
            raise UserError(f"{path} is no checkpoint of this training: {error}") from error

    def crops(self) -> Any:
        begin = time.monotonic()
        crops = self._torch.from_numpy(self._pool.crops(self._seed, self.step, self._batch))
        self._waited_s += time.monotonic() - begin
        self._pixels = 4 * crops.shape[1] * crops.shape[3] * crops.shape[4]
        return crops.to(self._device)

    def _precision(self) -> AbstractContextManager[Any]:
        if self._device == "cpu":
            return nullcontext()
        return self._torch.autocast("cuda", dtype=self._torch.bfloat16)  # type: ignore[no-any-return]

    def _is_usual(self, gradient: float) -> bool:
        """Whether a gradient of this length is one to follow. Where all of them grow, so does what is usual."""
        if not math.isfinite(gradient):
            return False
        if not self.usual_gradient:
            self.usual_gradient = gradient
        most = SKIPPED * self.usual_gradient
        self.usual_gradient += _USUAL_SHARE * (min(gradient, most) - self.usual_gradient)
        return gradient <= most

    def _check(self, loss: float, gradient: float) -> None:
        self.first_loss = min(self.first_loss, loss) if self.step == 1 else self.first_loss
        exploded = loss >= EXPLODED * max(self.first_loss, 1.0) or not math.isfinite(gradient)
        self.astray = self.astray + 1 if exploded else 0
        if self.astray >= ASTRAY or not math.isfinite(loss):
            raise Diverged(f"the loss became {loss:.3g} at step {self.step}; it began at {self.first_loss:.3g}")


class Budget:
    """How much of the limit is used: of steps, or of seconds, also those before an interruption."""

    def __init__(self, limit: TrainingLimit, training: Training, clock: Clock) -> None:
        if limit.steps is None and limit.seconds is None:
            raise UserError("a training needs a limit, of steps or of seconds")
        self._limit, self._training, self._clock = limit, training, clock
        self._since = clock()

    def share(self) -> float:
        """From 0 to 1; a cosine in steps repeats anywhere, in seconds it follows the clock."""
        if self._limit.steps is not None:
            return self._training.step / self._limit.steps if self._limit.steps else 1.0
        return self._training.used_s / self._limit.seconds if self._limit.seconds else 1.0

    def count(self) -> None:
        now = self._clock()
        self._training.used_s, self._since = self._training.used_s + now - self._since, now


def schedule(share: float) -> float:
    """The rate as a share of the highest: flat at first, then a cosine to almost nothing."""
    if share < FLAT_SHARE:
        return 1.0
    fall = 0.5 * (1 + math.cos(math.pi * (share - FLAT_SHARE) / (1 - FLAT_SHARE)))
    return LAST_RATE + (1 - LAST_RATE) * fall
