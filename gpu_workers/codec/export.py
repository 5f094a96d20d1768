"""A codec to take away: the decoder with all of ours that it needs, its requirements, weights if any, and an example.

The folder stands by itself: what the decoder imports of ours is copied beside it, what it imports of others is listed
with the versions that it was measured with. Before the export is done the example was decoded from that folder alone.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from gpu_workers.codec.decoder.container import Reader
from gpu_workers.codec.decoder.decode import AGENTS, video_info
from gpu_workers.codec.frames import VideoInfo, describe
from gpu_workers.codec.phases import STREAMS, SUFFIX
from lab.backend import Store
from lab.errors import AetherError, UserError
from lab.experiment import Experiment

DECODER = "gpu_workers.codec.decoder"
OURS = ("lab", "gpu_workers")
EXAMPLE, MODEL, REQUIREMENTS, DIGEST = f"example{SUFFIX}", "model.safetensors", "requirements.txt", "example.sha256"
PATIENCE_S = 300


def export(experiment: Experiment, store: Store, folder: Path) -> Sequence[str]:
    """Fills the existing `folder`; gives lines of Markdown that say how to use it. Raises UserError where the
    experiment has left no bitstream."""
    (folder / EXAMPLE).write_bytes(store.read(_smallest_stream(experiment, store)))
    with (folder / EXAMPLE).open("rb") as file:
        header = Reader(file).header
    if header.model:
        (folder / MODEL).write_bytes(store.read(header.model))
    others = _copy_modules(folder)
    (folder / REQUIREMENTS).write_text("".join(f"{line}\n" for line in _pinned(others)))
    arguments = ["-m", DECODER, *(["--model", MODEL] if header.model else [])]
    (folder / DIGEST).write_text(f"{_decoded_digest(folder, arguments)}  example.yuv\n")
    return _how_to(experiment, arguments, video_info(header))


def _smallest_stream(experiment: Experiment, store: Store) -> str:
    checkpoint = experiment.checkpoints.get("encode")
    outputs = checkpoint.outputs if checkpoint else {}
    streams = [hash for name, hash in outputs.items() if name.startswith(f"{STREAMS}/") and store.has(hash)]
    if not streams:
        raise UserError(f"{experiment.id} has no bitstream in the store; ask for one that finished, or run it again")
    return min(streams, key=lambda hash: len(store.read(hash)))


# ---------------------------------------------------------------------- the decoder's own code


def _copy_modules(folder: Path) -> set[str]:
    """Copies what of ours the decoder imports, however deep; gives the names of what it imports of others."""
    waiting, done, others = [f"{DECODER}.__main__", *map(str, AGENTS.values())], set[str](), set[str]()
    while waiting:
        module = waiting.pop()
        if module in done or not (path := _path_of(module)):
            continue
        done.add(module)
        target = folder / path.relative_to(Path(__file__).resolve().parents[2])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        waiting += [module.rpartition(".")[0]] if "." in module else []
        for name in _imports(path):
            top = name.partition(".")[0]
            if top in OURS:
                waiting.append(name)
            elif top not in sys.stdlib_module_names:
                others.add(top)
    return others


def _path_of(module: str) -> Path | None:
    """Its file; None for what is a name inside a module."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:  # the parent is no package
        return None
    return Path(found.origin).resolve() if found and found.origin else None


def _imports(path: Path) -> Iterator[str]:
    """Names that the module imports when it runs; of `from a import b` both a and a.b, since b may be a module."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            waiting += ast.iter_child_nodes(node)


def _pinned(packages: set[str]) -> list[str]:
    distributions = packages_distributions()
    return sorted(f"{distributions[name][0]}=={version(distributions[name][0])}" for name in packages)


# ---------------------------------------------------------------------- the proof, and the words


def _decoded_digest(folder: Path, arguments: Sequence[str]) -> str:
    """SHA-256 of the example's frames, decoded by the folder's own code."""
    with (folder / EXAMPLE).open("rb") as stream:
        done = subprocess.run([sys.executable, "-B", *arguments], cwd=folder, stdin=stream, capture_output=True,
                              check=False, timeout=PATIENCE_S, env={**os.environ, "PYTHONPATH": str(folder.resolve())})
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise AetherError(f"the exported decoder does not decode its example: {' '.join(last)}")
    return hashlib.sha256(done.stdout).hexdigest()


def _how_to(experiment: Experiment, arguments: Sequence[str], video: VideoInfo) -> list[str]:
    params = [word for name, value in experiment.spec.params.items()
              for word in ("--param", f"{name}={_told(value)}")]
    encode = shlex.join(["aether", "codec", "encode", "IN", "OUT.aec", "--family", experiment.spec.family, *params])
    size, rate = f"{video.width}x{video.height}", f"{video.fps_num}/{video.fps_den}"
    return [
        "Decode the example, with nothing else of Aether on the machine:", "",
        "```sh", f"python3 -m pip install -r {REQUIREMENTS}",
        f"python3 {' '.join(arguments)} < {EXAMPLE} > example.yuv", f"sha256sum -c {DIGEST}",
        f"ffplay -f rawvideo -pixel_format {video.pix_fmt} -video_size {size} -framerate {rate} example.yuv", "```", "",
        f"The frames come planar, {describe(video)}. On another machine they may differ by one code value.", "",
        "Encode another video with this very configuration, where Aether is installed:", "",
        "```sh", encode, "```",
    ]


def _told(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
