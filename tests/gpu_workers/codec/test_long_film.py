"""Ten minutes of 1080p through encoder and decoder in bounded memory; no frame of it ever lies on a disk."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from gpu_workers.codec.contract import Chunk, Frame, Kind
from gpu_workers.codec.decoder.container import Writer
from gpu_workers.codec.decoder.restore import Origin, Setup
from gpu_workers.codec.frames import VideoInfo
from gpu_workers.codec.measure.decoder_side import DecoderSide
from gpu_workers.codec.measure.timing import PLAIN, started
from gpu_workers.codec.video import FrameReader
from gpu_workers.family import family_mb
from support.footage import VIDEO
from support.restoring import PLAIN as UNFILTERED
from support.restoring import random_filter, restore_chunks
from support.streams import header_of

FRAMES = 18_000
MINUTE = 1800
MOST_MB = 2048
CLIP = VIDEO / "drive_1080p30.mp4"
ENCODE = """
import sys
from pathlib import Path
from gpu_workers.codec.encoding import encode_stream
from gpu_workers.codec.families.classic_space import as_people_run
from test_long_film import Looped
params = as_people_run("svtav1", svtav1_crf=60.0, svtav1_preset=12)
encode_stream(Looped(Path(sys.argv[1]), int(sys.argv[2])), Path(sys.argv[3]), "classic", params, 1, 2)
"""
pytestmark = pytest.mark.soak


class Looped:
    """A clip shown again and again until it has so many frames."""

    def __init__(self, path: Path, frames: int) -> None:
        self._clip = FrameReader(path)
        self.info = msgspec.structs.replace(self._clip.info, frames=frames)

    def __len__(self) -> int:
        return self.info.frames

    def __getitem__(self, index: int) -> Frame:
        return self._clip[index % len(self._clip)]

    def __iter__(self) -> Iterator[Frame]:
        shown = 0
        while True:
            for frame in self._clip:
                if shown == len(self):
                    return
                yield frame
                shown += 1


class Peak:
    """The most memory of a process and its children, looked at five times a second."""

    mb = 0.0


@contextmanager
def watched(pid: int) -> Iterator[Peak]:
    peak, ended = Peak(), threading.Event()

    def look() -> None:
        while not ended.wait(0.2):
            peak.mb = max(peak.mb, family_mb(pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def encode(script: str, frames: int, target: Path, *more: Path) -> float:
    """MB at most of a process that runs `script`."""
    environment = {"PYTHONPATH": f"{Path(__file__).parent}:{':'.join(sys.path)}", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", script, str(CLIP), str(frames), str(target), *map(str, more)]
    with subprocess.Popen(command, env=environment) as process, watched(process.pid) as peak:
        assert process.wait() == 0
    return peak.mb


def decode(path: Path, video: VideoInfo, side: DecoderSide = PLAIN) -> tuple[float, float]:
    """MB at most over the first quarter of the frames, and over all of them."""
    early = 0.0
    with started(2, side) as decoder:
        decoder.deliver(path)
        for number, _ in enumerate(decoder.frames(video)):
            early = decoder.peak_mb if number < video.frames // 4 else early
        return early, decoder.peak_mb


def test_ten_minutes_of_1080p_are_coded_and_decoded_under_two_gigabytes(tmp_path: Path) -> None:
    path, begin = tmp_path / "film.aec", time.monotonic()
    peak_mb = encode(ENCODE, FRAMES, path)
    coded_s = time.monotonic() - begin
    early, most = decode(path, msgspec.structs.replace(FrameReader(CLIP).info, frames=FRAMES))
    print(f"{FRAMES} frames, {path.stat().st_size / 1e6:.1f} MB: encoding {peak_mb:.0f} MB, {coded_s:.0f} s; "
          f"decoding {most:.0f} MB ({early:.0f} in the first quarter)", flush=True)
    assert peak_mb < MOST_MB
    assert most < MOST_MB
    assert most < 1.1 * early + 50, "it does not grow with the film"


def test_the_decoder_of_restore_holds_one_shot_however_many_there_are(tmp_path: Path) -> None:
    """A minute of shots with a filter each. One is coded and shown again; any filter does, since memory counts here."""
    clip = Looped(CLIP, 30)
    plain, *pictures = restore_chunks(clip, {**UNFILTERED, "crf": 64.0, "scale": "1/2"})
    setup = Setup(Origin.CLIP, Setup.from_bytes(plain.data).coding)
    shot = [Chunk(Kind.CONFIG, 0, setup.to_bytes()), Chunk(Kind.WEIGHTS, 0, random_filter(16, 1).to_bytes()), *pictures]
    info = msgspec.structs.replace(clip.info, frames=MINUTE)
    path = tmp_path / "film.aec"
    with path.open("wb") as file:
        writer = Writer(file, header_of(info, "restore"))
        for first in range(0, MINUTE, len(clip)):
            for chunk in shot:
                writer.write(Chunk(chunk.kind, first + chunk.index, chunk.data))
        writer.close()
    early, most = decode(path, info)
    print(f"{MINUTE} restored frames: decoding {most:.0f} MB ({early:.0f} in the first quarter)", flush=True)
    assert most < MOST_MB
    assert most < 1.1 * early + 50


def test_an_encoding_of_restore_holds_one_shot(tmp_path: Path) -> None:
    script = ENCODE.replace('"classic", params', '"restore", {"crf": 64.0, "scale": "auto", "gop_frames": 256, '
                            '"bit_depth": 8, "channels": 16, "mode": "overfitted", "steps": 100}')  # fmt: skip
    peak_mb = encode(script, 256, tmp_path / "film.aec")
    print(f"restore, a shot of 256 frames: encoding {peak_mb:.0f} MB", flush=True)
    assert peak_mb < MOST_MB


@pytest.mark.parametrize("together", [1, 4])
def test_hyperprior_holds_one_chunk_of_1080p_however_many_there_are(tmp_path: Path, together: int) -> None:
    """By an untrained model of a size that people train. The frames in between would take 400 MB as its networks see
    them."""
    pytest.importorskip("compressai", reason="needs the learned extra: requirements/sync learned")
    from gpu_workers.codec.families import hyperprior
    from support.hyperprior import PARAMS, footage, train_info

    few, many = 8, 40
    params, info = {**PARAMS, "frames": together}, FrameReader(CLIP).info
    model = hyperprior.train(footage(), train_info(tmp_path, 0, params=params))
    script = ENCODE.replace('"classic", params, 1, 2', f'"hyperprior", {params}, 1, 2, model=Path(sys.argv[4])')
    coding, decoding = {}, {}
    for frames in (few, many):
        path = tmp_path / f"{frames}.aec"
        coding[frames] = encode(script, frames, path, model)
        _, decoding[frames] = decode(path, msgspec.structs.replace(info, frames=frames), DecoderSide(model))
    print(f"hyperprior, {together} together: encoding {coding} MB, decoding {decoding} MB", flush=True)
    for peak_mb in (coding, decoding):
        assert peak_mb[many] < MOST_MB
        assert peak_mb[many] < 1.1 * peak_mb[few] + 50
