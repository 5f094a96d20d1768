"""Footage for tests: the committed clips, cuts and transcodings of them, and ffmpeg's own answers about a file."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from gpu_workers.codec.frames import Frame, VideoInfo

VIDEO = Path(__file__).resolve().parents[1] / "data" / "video"


def ffmpeg(
    *arguments: str | Path, stdin: bytes | None = None, level: str = "error"
) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg with these arguments; a failure shows its own words."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", level, "-y", *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=900)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr.decode(errors='replace')}"
    return done


def cut(clip: str, frames: int, folder: Path, *filters: str) -> Path:
    """The first frames of a committed clip, filtered, losslessly in Matroska."""
    target = folder / f"{clip}-{frames}-{abs(hash(filters))}.mkv"
    chain = ["-vf", ",".join(filters)] if filters else []
    ffmpeg("-i", VIDEO / f"{clip}.mp4", "-frames:v", str(frames), *chain, "-c:v", "ffv1", target)
    return target


def svtav1(source: Path, target: Path, crf: int) -> Path:
    ffmpeg("-i", source, "-an", "-c:v", "libsvtav1", "-preset", "8", "-crf", str(crf), "-svtav1-params", "lp=1", target)
    return target


def planar(path: Path, *options: str) -> bytes:
    """The file's frames as ffmpeg decodes them, planar, without any conversion that `options` do not ask for."""
    return ffmpeg("-i", path, "-fps_mode", "passthrough", *options, "-f", "rawvideo", "-").stdout


def synthetic(target: Path, pix_fmt: str, size: str = "96x64", frames: int = 5, *options: str) -> Path:
    """A moving test picture, losslessly in the given format; the file's suffix names the container."""
    scale = f"scale={size.replace('x', ':')}"  # testsrc2 itself rounds an odd size down
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-frames:v", str(frames), "-vf", scale,
           "-pix_fmt", pix_fmt, "-c:v", "ffv1", *options, target)  # fmt: skip
    return target


def noise(info: VideoInfo, seed: int) -> list[Frame]:
    """Random frames of a layout."""
    random = np.random.default_rng(seed)
    top = 1 << info.bit_depth
    return [
        Frame(tuple(random.integers(0, top, shape, dtype=info.dtype) for shape in info.plane_shapes))
        for _ in range(info.frames)
    ]


def metric_summary(distorted: Path, reference: Path, metric: str) -> dict[str, float]:
    """The summary line of ffmpeg's psnr or ssim filter, frames numbered by integers: {'y': 34.34, ...}."""
    number = "settb=1/100,setpts=N"
    graph = f"[0:v]{number}[a];[1:v]{number}[b];[a][b]{metric}"
    done = ffmpeg("-i", distorted, "-i", reference, "-filter_complex", graph, "-f", "null", "-", level="info")
    line = next(line for line in done.stderr.decode().splitlines() if (f"Parsed_{metric}_" in line and "All:" in line)
                or (f"Parsed_{metric}_" in line and "average:" in line))  # fmt: skip
    return {name.lower(): float(value) for name, value in re.findall(r"(\w+):([\d.]+)", line)}
