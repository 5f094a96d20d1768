"""The two-agent contract: what any codec gives, whether built in or from outside.

A codec is two modules. The encoding agent has `encode(frames, info, model) → chunks`, and `train(clips, info) → model`
if it learns; the decoding agent has `decode(chunks, info, model) → frames`. The decoding agent runs in a fresh process
and knows what stands in `DecodeInfo`, in the chunks and in the model: nothing else. The built-in families are written
against this and have no other door. The harness owns the container around the chunks.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import msgspec

from gpu_workers.codec.decoder.container import Chunk, Kind
from gpu_workers.codec.frames import Frame, Frames, VideoInfo
from lab.errors import AetherError, UserError
from lab.experiment import TrainingLimit
from lab.space import Value

__all__ = ["BrokenContract", "Chunk", "DecodeInfo", "DecodingAgent", "EncodeInfo", "EncodingAgent", "Frame", "Frames",
           "Kind", "LearningAgent", "TrainInfo", "TrainingLimit", "VideoInfo", "load_decoding_agent",
           "load_encoding_agent"]


class EncodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What an encoding agent is asked for. `scratch` is an empty folder of its own that is thrown away after."""

    video: VideoInfo
    params: Mapping[str, Value]
    scratch: Path
    seed: int = 0
    threads: int = 1


class DecodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a decoding agent is told beside the chunks: the frames it must give, as the container's header has them.

    `video.frames` counts the whole stream, which may have segments of other families; 0 if the header does not say.
    """

    video: VideoInfo
    threads: int = 1


class TrainInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a learning agent is asked for.

    `scratch` is an empty folder of its own. `resume` is the last checkpoint of an interrupted training: go on from its
    step. `parent` are another experiment's weights to start from. Call `checkpoint` with a file that is a complete
    checkpoint whenever `checkpoint_s` seconds have passed since the last; the file may be reused afterwards.
    `progress` takes claims by name, such as step=…, loss=…; they are shown, and never believed.
    """

    params: Mapping[str, Value]
    scratch: Path
    limit: TrainingLimit
    seed: int = 0
    threads: int = 1
    resume: Path | None = None
    parent: Path | None = None
    checkpoint: Callable[[Path], None] = lambda path: None
    checkpoint_s: float = 60.0
    progress: Callable[..., None] = lambda **claims: None


class BrokenContract(AetherError):
    """An agent gave something else than the contract says."""


class EncodingAgent(Protocol):
    def encode(self, frames: Frames, info: EncodeInfo, model: Path | None) -> Iterable[Chunk]:
        """Chunks in decoding order: CONFIG, KEY, DELTA, WEIGHTS; `index` is the first frame that each is about."""


class LearningAgent(EncodingAgent, Protocol):
    def train(self, clips: Sequence[Frames], info: TrainInfo) -> Path:
        """The file of weights (safetensors). They are frozen before any footage that is scored is seen."""


class DecodingAgent(Protocol):
    def decode(self, chunks: Iterable[Chunk], info: DecodeInfo, model: Path | None) -> Iterable[Frame]:
        """Frames in display order, of `info.video`'s size and format, each as soon as its chunks allow."""


def load_encoding_agent(source: str | Path) -> EncodingAgent:
    """The agent in the module of that name, or in the file of that path (`encoding_agent.py`)."""
    return cast(EncodingAgent, _load(source, "encode"))


def load_decoding_agent(source: str | Path) -> DecodingAgent:
    """The agent in the module of that name, or in the file of that path (`decoding_agent.py`)."""
    return cast(DecodingAgent, _load(source, "decode"))


def _load(source: str | Path, duty: str) -> object:
    module: object = importlib.import_module(source) if isinstance(source, str) else _from_file(source)
    if not callable(getattr(module, duty, None)):
        name = source if isinstance(source, str) else source.name
        raise UserError(f"{name} is no agent: it has no function {duty!r}; docs/two-agents.md says what it must have")
    return module


def _from_file(path: Path) -> object:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"{path} is no Python file; give the agent's .py file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
