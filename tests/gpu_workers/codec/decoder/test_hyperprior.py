"""What another machine makes of a stream of `hyperprior`: the same symbols, and frames within one code value or equal.

Another machine is a fresh process with other instructions and other threads. The golden streams and the model beside
them are files of the first day.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("constriction", reason="needs the learned extra: requirements/sync learned")
pytest.importorskip("torch", reason="needs the learned extra: requirements/sync learned")

from gpu_workers.codec.contract import Chunk, Frame, Kind
from gpu_workers.codec.decoder.container import Reader
from gpu_workers.codec.decoder.decode import video_info
from gpu_workers.codec.decoder.entropy import Which, Whole
from gpu_workers.codec.decoder.errors import BadStream
from gpu_workers.codec.decoder.hyperprior_latents import Latents, Setup, Synthesis, bands
from gpu_workers.codec.decoder.hyperprior_model import EIGHTHS, WHOLE, Model, load_model, save_model
from gpu_workers.codec.decoder.hyperprior_whole import WholeSynthesis, exact
from gpu_workers.codec.decoder.whole import MOST_SUM, WholeConv, module_of
from gpu_workers.codec.families import hyperprior
from lab.errors import UserError
from support.hyperprior import as_stream, coded_small, farthest, small_model
from support.kernels import AVX2, need_avx512
from support.streams import crop, planar

pytestmark = pytest.mark.ci
ROOT = Path(__file__).resolve().parents[4]
GOLDEN = ROOT / "tests" / "data" / "golden" / "hyperprior"
DECODE = """
import hashlib, sys
from pathlib import Path
import torch
from gpu_workers.codec.contract import DecodeInfo
from gpu_workers.codec.decoder import hyperprior
from gpu_workers.codec.decoder.container import Kind, Reader
from gpu_workers.codec.decoder.decode import video_info
from gpu_workers.codec.decoder.hyperprior_latents import Latents, Setup
from gpu_workers.codec.decoder.hyperprior_model import BLOCK, load_model
threads, path, *streams = int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
torch.set_num_threads(threads)
model = load_model(path)
for stream in streams:
    reader = Reader(open(stream, "rb"))
    chunks, video, digest = list(reader), video_info(reader.header), hashlib.sha256()
    latents = Latents(model, Setup.from_bytes(chunks[0].data))
    for chunk in chunks[1:]:
        for (top, bottom), part in hyperprior.split(chunk.data, model.shape.frames, video)[1]:
            digest.update(latents.unpack(part, bottom - top, -(-video.width // BLOCK)).tobytes())
    sys.stdout.buffer.write(digest.digest())
    for frame in hyperprior.decode(iter(chunks), DecodeInfo(video=video, threads=threads), path):
        sys.stdout.buffer.write(frame.to_bytes())
print(torch.backends.cpu.get_cpu_capability(), file=sys.stderr)
"""
CLIP = crop("walk_480p30", 2, 501, 333)
Found = tuple[bytes, list[Frame]]  # the digest of a stream's latents, and its frames


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"), 20)


@pytest.fixture(scope="module")
def sent(model: Path) -> dict[Path, bytes]:
    """A stream for each synthesis, and the digest of the latents that the encoder put into it."""
    streams = {}
    for synthesis in Synthesis:
        chunks, latents = noted(model, synthesis)
        path = model.with_name(f"{synthesis.name}.aec")
        path.write_bytes(as_stream(CLIP, chunks, digest(model)))
        streams[path] = latents
    return streams


@pytest.fixture(scope="module")
def here(model: Path, sent: dict[Path, bytes]) -> list[Found]:
    return elsewhere({}, 1, model, *sent)


def noted(model: Path, synthesis: Synthesis) -> tuple[list[Chunk], bytes]:
    latents = hashlib.sha256()

    class Noting(Latents):
        def prior(self, hyper: Whole, rows: int, columns: int) -> tuple[Which, Whole]:
            which, self.means = super().prior(hyper, rows, columns)
            return which, self.means

        def pack(self, hyper: Whole, which: Which, symbols: Whole) -> bytes:
            latents.update((symbols * np.int32(EIGHTHS) + self.means).tobytes())
            return super().pack(hyper, which, symbols)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hyperprior, "Latents", Noting)
        return coded_small(CLIP, model, synthesis), latents.digest()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def elsewhere(variables: dict[str, str], threads: int, model: Path, *streams: Path) -> list[Found]:
    """What a fresh process finds in each stream."""
    environment = {**os.environ, **variables, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", DECODE, str(threads), str(model), *map(str, streams)],
                          env=environment, capture_output=True, check=True)
    assert variables != AVX2 or done.stderr.split()[-1] == b"AVX2"
    found, at = [], 0
    for stream in streams:
        with stream.open("rb") as file:
            video = video_info(Reader(file).header)
        symbols, at = done.stdout[at:at + 32], at + 32
        ends = range(at + video.frame_bytes, at + video.frames * video.frame_bytes + 1, video.frame_bytes)
        found.append((symbols, [Frame.from_bytes(done.stdout[end - video.frame_bytes:end], video) for end in ends]))
        at += video.frames * video.frame_bytes
    return found


def test_a_fresh_process_decodes_the_symbols_that_the_encoder_sent(sent: dict[Path, bytes], here: list[Found]) -> None:
    assert [symbols for symbols, _ in here] == list(sent.values())
    assert [len(frames) for _, frames in here] == [len(CLIP)] * len(sent)


def test_other_threads_decode_the_same_symbols_and_frames(
        model: Path, sent: dict[Path, bytes], here: list[Found]) -> None:
    check_same(here, elsewhere({}, 2, model, *sent))


@pytest.mark.parametrize("threads", [1, 2])
def test_older_instructions_decode_the_same_symbols_and_frames(
        model: Path, sent: dict[Path, bytes], here: list[Found], threads: int) -> None:
    need_avx512()
    check_same(here, elsewhere(AVX2, threads, model, *sent))


def check_same(one: list[Found], other: list[Found]) -> None:
    for most, (symbols, frames), (theirs, others) in zip((1, 0), one, other, strict=True):
        assert symbols == theirs
        assert farthest(frames, others) <= most


def test_the_hyper_decoder_gives_what_integers_give(model: Path) -> None:
    loaded = load_model(model)
    hyper = np.random.default_rng(0).integers(-63, 64, (loaded.shape.hyper_latents, 3, 5)).astype(np.int32)
    which, means = Latents(loaded, Setup.for_step(1.0, Synthesis.FLOAT)).prior(hyper, 12, 20)
    out = in_integers(loaded, hyper.astype(np.int64))
    assert np.array_equal(which, np.clip((out[:loaded.shape.latents] + 2) >> 2, 0, 63))
    assert np.array_equal(means, out[loaded.shape.latents:])


def in_integers(model: Model, x: np.ndarray) -> np.ndarray:
    """The hyper-decoder once more, in 64 bit integers and nothing else."""
    for place, layer in enumerate(model.layers):
        side = layer.weights.shape[-1] // 2
        rows, columns = x.shape[1:]
        padded = np.pad(x, ((0, 0), (side, side), (side, side)), mode="edge")
        sums = np.zeros((len(layer.bias), rows, columns), np.int64)
        for down in range(2 * side + 1):
            for across in range(2 * side + 1):
                seen = padded[:, down:down + rows, across:across + columns]
                sums += np.einsum("oc,crk->ork", layer.weights[:, :, down, across].astype(np.int64), seen)
        sums += layer.offsets.reshape(-1, 1, 1)
        x = np.clip(sums >> layer.shift.reshape(-1, 1, 1), layer.low, layer.high)
        if 0 < place < len(model.layers) - 1:
            x = x.reshape(-1, 2, 2, rows, columns).transpose(0, 3, 1, 4, 2).reshape(-1, 2 * rows, 2 * columns)
    return x


def test_a_convolution_that_could_leave_what_is_exact_is_refused() -> None:
    weights = np.full((1, 64, 3, 3), 127, np.int32)
    one = np.zeros(1, np.int32)
    assert MOST_SUM <= 127 * 64 * 9 * 255
    with pytest.raises(ValueError, match="could reach"):
        WholeConv(weights, one, one, 255, 0, 255)
    fitting = WholeConv(weights[:, :32], one, one, 255, 0, MOST_SUM)
    torch = import_module("torch")
    most = module_of(fitting)(torch.full((1, 32, 3, 3), 255.0))
    assert int(most[0, 0, 1, 1]) == 127 * 32 * 9 * 255


def test_pictures_in_whole_numbers_need_a_model_that_holds_them(model: Path, tmp_path: Path) -> None:
    loaded = load_model(model)
    setup = Setup.for_step(1.0, Synthesis.WHOLE)
    assert exact(loaded)
    bare = stripped(loaded, without=WHOLE)
    save_model(tmp_path / "bare.safetensors", bare)
    with pytest.raises(UserError, match="does not hold"):
        WholeSynthesis(load_model(tmp_path / "bare.safetensors"), setup)


def stripped(model: Model, without: str) -> Model:
    kept = {name: one for name, one in model.weights.items() if not name.startswith(without)}
    return Model(model.shape, model.layers, model.tables, model.hyper_tables, kept)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x02\x00\x80\x20\x80\x80\x04", b"\x00\x00\x00\x80\x80\x04"])
def test_a_setup_that_no_encoder_writes_is_refused(data: bytes) -> None:
    with pytest.raises(BadStream):
        Setup.from_bytes(data)


def test_steps_come_in_twenty_eighths_of_an_octave_and_travel_whole() -> None:
    for factor in (0.35, 0.99, 1.0, 1.7, 4.0):
        setup = Setup.for_step(factor, Synthesis.WHOLE)
        assert Setup.from_bytes(setup.to_bytes()) == setup
        assert setup.factor == pytest.approx(factor, rel=0.014)


def test_a_model_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "no.safetensors"
    path.write_bytes(b"nothing")
    for given in (path, None):
        with pytest.raises(UserError, match="model"):
            load_model(given)


def test_bands_cover_a_picture_once() -> None:
    for rows, columns in ((1, 1), (68, 120), (68, 240), (2048, 4)):
        found = list(bands(rows, columns))
        assert [row for top, bottom in found for row in range(top, bottom)] == list(range(rows))
    assert list(bands(68, 120)) == [(0, 68)], "a 1080p frame is one band"


@pytest.mark.parametrize("folder", [GOLDEN, GOLDEN / "in_time"], ids=["alone", "in_time"])
def test_golden_streams_decode_as_they_always_did(folder: Path) -> None:
    expected = json.loads((folder / "golden.json").read_text())
    found = elsewhere({}, 1, folder / "model.safetensors", folder / "float.aec", folder / "whole.aec")
    for (symbols, frames), known in zip(found, (expected["float"], expected["whole"]), strict=True):
        assert (len(frames), symbols.hex()) == (known["frames"], known["symbols"])
    assert hashlib.sha256(planar(found[1][1])).hexdigest() == expected["whole"]["sha256"]
    kept = (folder / "float.yuv").read_bytes()
    size = len(kept) // len(found[0][1])
    old = [np.frombuffer(kept[at:at + size], np.uint8).astype(int) for at in range(0, len(kept), size)]
    new = [np.frombuffer(frame.to_bytes(), np.uint8).astype(int) for frame in found[0][1]]
    assert max(int(np.abs(a - b).max()) for a, b in zip(old, new, strict=True)) <= 1


def test_a_golden_model_codes_four_frames_together_and_a_last_run_of_three() -> None:
    folder = GOLDEN / "in_time"
    assert load_model(folder / "model.safetensors").shape.frames == 4
    for name in ("float", "whole"):
        with (folder / f"{name}.aec").open("rb") as file:
            reader = Reader(file)
            assert [(chunk.kind, chunk.index) for chunk in reader] == [(Kind.CONFIG, 0), (Kind.KEY, 0), (Kind.KEY, 4)]
            assert reader.header.frames == 7
