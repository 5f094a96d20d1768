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

from gpu_workers.codec.card import inspect
from gpu_workers.codec.decoder.decode import AGENTS, video_info
from gpu_workers.codec.frames import VideoInfo, describe
from gpu_workers.codec.measure.decoder_side import DecoderSide
from gpu_workers.codec.measure.timing import started
from gpu_workers.codec.phases import CODE, DECODING_AGENT, STREAMS, SUFFIX
from gpu_workers.sandbox.canary import sandbox_here
from lab import bundle
from lab.backend import Store
from lab.errors import AetherError, UserError
from lab.experiment import Experiment

DECODER = "gpu_workers.codec.decoder"
OURS = ("lab", "gpu_workers", "aether_kit")
BUILT_IN = sys.stdlib_module_names
EXAMPLE, MODEL, REQUIREMENTS, DIGEST = f"example{SUFFIX}", "model.safetensors", "requirements.txt", "example.sha256"
PATIENCE_S = 300
BOX_MB = 4096


def export(experiment: Experiment, store: Store, folder: Path) -> Sequence[str]:
    """Fills the existing `folder`; gives lines of Markdown that say how to use it. Raises UserError where the
    experiment has left no bitstream."""
    (folder / EXAMPLE).write_bytes(store.read(_smallest_stream(experiment, store)))
    card = inspect(folder / EXAMPLE)
    weights = bool(card.header.model)
    if weights:
        (folder / MODEL).write_bytes(store.read(card.header.model))
    arguments = ["-m", DECODER, *(["--model", MODEL] if weights else [])]
    agents, outside = [str(AGENTS[one.family]) for one in card.segments if one.family in AGENTS], list[Path]()
    if experiment.spec.code:
        outside = _lay_out_code(experiment.spec.code, store, folder)
        arguments += ["--agent", f"{experiment.spec.family}={CODE}{DECODING_AGENT}"]
    others = _copy_modules(folder, agents, outside)
    (folder / REQUIREMENTS).write_text("".join(f"{line}\n" for line in _pinned(others)))
    digest = _boxed_digest(folder, experiment.spec.family, weights) if outside else _digest(folder, arguments)
    (folder / DIGEST).write_text(f"{digest}  example.yuv\n")
    return _how_to(experiment, arguments, video_info(card.header), weights)


def _smallest_stream(experiment: Experiment, store: Store) -> str:
    checkpoint = experiment.checkpoints.get("encode")
    outputs = checkpoint.outputs if checkpoint else {}
    streams = [hash for name, hash in outputs.items() if name.startswith(f"{STREAMS}/") and store.has(hash)]
    if not streams:
        raise UserError(f"{experiment.id} has no bitstream in the store; ask for one that finished, or run it again")
    return min(streams, key=lambda hash: len(store.read(hash)))


# ---------------------------------------------------------------------- the decoder's own code


def _lay_out_code(hash: str, store: Store, folder: Path) -> list[Path]:
    """A candidate's own files, of which the decoder needs one; the others are for whoever reads or changes it."""
    (folder / CODE).mkdir()
    for name, text in bundle.read(store, hash).items():
        (folder / CODE / name).write_text(text)
    return [folder / CODE / DECODING_AGENT]


def _copy_modules(folder: Path, agents: Sequence[str], outside: Sequence[Path]) -> set[str]:
    """Copies what of ours the decoder and these agents import, however deep; gives what they import of others.
    `outside` are files that lie there already."""
    names = {name for path in outside for name in _imports(path)}
    waiting = [f"{DECODER}.__main__", *agents, *(name for name in names if name.partition(".")[0] in OURS)]
    done, others = set[str](), {top for name in names if (top := name.partition(".")[0]) not in (*OURS, *BUILT_IN)}
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
            elif top not in BUILT_IN:
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
    """Names that the module imports when it runs, by its path or by `import_module`; of `from a import b` both a and
    a.b, since b may be a module."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif (name := _by_name(node)) is not None:
            yield name
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            waiting += ast.iter_child_nodes(node)


def _by_name(node: ast.AST) -> str | None:
    """`import_module("torch")`, also within a longer expression, which is what heavy libraries are loaded by."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "import_module" and len(node.args) == 1:
        argument = node.args[0]
        return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else None
    return None


def _pinned(packages: set[str]) -> list[str]:
    distributions = packages_distributions()
    found = {distributions[name][0] for name in packages}
    return sorted(f"{name}=={version(name).partition('+')[0]}" for name in found)  # +cpu is on no ordinary index


# ---------------------------------------------------------------------- the proof, and the words


def _boxed_digest(folder: Path, family: str, weights: bool) -> str:
    """The same for code from outside, which runs in a box alone. Raises UserError where this machine has none."""
    if not (found := sandbox_here()).works:
        raise UserError(f"the example is decoded by code from outside, and this machine has no sandbox: {found.why}")
    side = DecoderSide(model=folder / MODEL if weights else None, box_mb=BOX_MB,
                       agent=(family, folder / CODE / DECODING_AGENT))
    info, found_digest = video_info(inspect(folder / EXAMPLE).header), hashlib.sha256()
    with started(1, side) as decoder:
        decoder.deliver(folder / EXAMPLE)
        for frame in decoder.frames(info):
            found_digest.update(frame.to_bytes())
    return found_digest.hexdigest()


def _digest(folder: Path, arguments: Sequence[str]) -> str:
    """SHA-256 of the example's frames, decoded by the folder's own code."""
    with (folder / EXAMPLE).open("rb") as stream:
        done = subprocess.run([sys.executable, "-B", *arguments], cwd=folder, stdin=stream, capture_output=True,
                              check=False, timeout=PATIENCE_S, env={**os.environ, "PYTHONPATH": str(folder.resolve())})
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise AetherError(f"the exported decoder does not decode its example: {' '.join(last)}")
    return hashlib.sha256(done.stdout).hexdigest()


def _how_to(experiment: Experiment, arguments: Sequence[str], video: VideoInfo, weights: bool) -> list[str]:
    params = [word for name, value in experiment.spec.params.items()
              for word in ("--param", f"{name}={_told(value)}")]
    what = ["--model", "."] if weights else ["--family", experiment.spec.family, *params]
    encode = shlex.join(["aether", "codec", "encode", "IN", "OUT.aec", *what])
    again = "Encode another video with this very configuration, where Aether is installed:"
    if weights:
        again = ("Encode another video with these weights, in this folder and where Aether is installed; `aether codec "
                 "decode OUT.aec OUT.mkv --model .` decodes it:")
    if experiment.spec.code:
        encode = shlex.join(["aether", "run", "--candidate", CODE.rstrip("/"), *params])
        again = f"This is code from outside: read `{CODE}` before you run it. On other footage, in Aether's sandbox:"
    size, rate = f"{video.width}x{video.height}", f"{video.fps_num}/{video.fps_den}"
    return [
        "Decode the example, with nothing else of Aether on the machine:", "",
        "```sh", f"python3 -m pip install -r {REQUIREMENTS}",
        f"python3 {' '.join(arguments)} < {EXAMPLE} > example.yuv", f"sha256sum -c {DIGEST}",
        f"ffplay -f rawvideo -pixel_format {video.pix_fmt} -video_size {size} -framerate {rate} example.yuv", "```", "",
        f"The frames come planar, {describe(video)}. On another machine they may differ by one code value.", "",
        again, "", "```sh", encode, "```",
    ]


def _told(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
