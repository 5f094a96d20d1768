"""SSIM, MS-SSIM and VMAF of two videos in step, computed by one ffmpeg child.

Original and distorted luma travel interleaved through one pipe (even pictures are the original's), so they pair by
construction, no order of writing can lock the two processes, and no timestamp is involved but integers: a quotient
such as N/FPS pairs wrongly at 50 and 29.97 fps. Chroma has no part in these metrics; it travels as constant grey.

- ssim: ffmpeg's filter, Y only: 8×8 windows on a 4-pixel grid, unweighted (after Wang et al. 2004), mean over frames.
- ms_ssim: libvmaf's float_ms_ssim (Wang, Simoncelli, Bovik 2003). By far the slowest of them: 0.25 s a 1080p picture.
- vmaf, vmaf_neg: libvmaf's vmaf_v0.6.1 and vmaf_v0.6.1neg, mean over frames.
"""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import imageio_ffmpeg
import msgspec
import numpy as np

from gpu_workers.codec.frames import Plane, VideoInfo
from lab.errors import AetherError

MODELS = {"vmaf": "vmaf_v0.6.1", "vmaf_neg": "vmaf_v0.6.1neg"}
LEAST_SIDE = {"ssim": 8, "vmaf": 32, "vmaf_neg": 32, "ms_ssim": 176}  # ffmpeg crashes or refuses below
_LIBVMAF_KEYS = {"vmaf": "vmaf", "vmaf_neg": "vmaf_neg", "ms_ssim": "float_ms_ssim"}
_PIPE_BYTES = 1 << 20  # Linux's ceiling for a pipe that is not root's


class PerceptualError(AetherError):
    """The ffmpeg child that computes SSIM and VMAF failed; the message is its last line."""


class Perceptual:
    """A running ffmpeg for the metrics named: `add` pairs of luma planes, then `finish`."""

    def __init__(self, info: VideoInfo, metrics: frozenset[str], threads: int) -> None:
        self._metrics = metrics
        self._folder = tempfile.TemporaryDirectory(prefix="aether-quality-")
        self._grey = _grey_chroma(info)
        self._child = _start(info, metrics, threads, Path(self._folder.name))
        assert self._child.stdin is not None
        self._pipe = self._child.stdin
        _widen(self._pipe.fileno())

    def add(self, reference: Plane, distorted: Plane) -> None:
        try:
            for luma in (reference, distorted):
                self._pipe.write(np.ascontiguousarray(luma).data)
                self._pipe.write(self._grey)
        except BrokenPipeError:
            raise self._failure() from None

    def finish(self, frames: int) -> dict[str, list[float]]:
        """Each metric's value for each of the frames that were added."""
        try:
            self._pipe.close()
        except BrokenPipeError:
            raise self._failure() from None
        if self._child.wait() != 0:
            raise self._failure()
        values = _read(Path(self._folder.name), self._metrics)
        if any(len(numbers) != frames for numbers in values.values()):
            counts = {name: len(numbers) for name, numbers in values.items()}
            raise PerceptualError(f"ffmpeg measured {counts} frames of {frames}; this is a fault of the measurement")
        return values

    def __enter__(self) -> Perceptual:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._child.kill()
        self._child.wait()
        with suppress(BrokenPipeError):  # what was still buffered goes with the child
            self._pipe.close()
        self._folder.cleanup()

    def _failure(self) -> PerceptualError:
        code = self._child.wait()
        lines = (Path(self._folder.name) / "stderr").read_text(errors="replace").strip().splitlines()
        return PerceptualError(f"ffmpeg ended with {code} while measuring SSIM and VMAF: {(lines or ['silently'])[-1]}")


def too_small(info: VideoInfo, metric: str) -> str | None:
    """Why the metric does not exist for pictures of this size, or None where it does."""
    least = LEAST_SIDE[metric]
    if min(info.width, info.height) >= least:
        return None
    return f"{metric} needs pictures of {least}×{least} and more; these are {info.width}×{info.height}"


def graph(metrics: frozenset[str], threads: int) -> tuple[str, list[str]]:
    """The filter graph and the names of its outputs."""
    number = "settb=1/100,setpts=N"
    kinds: list[str] = (["ssim"] if "ssim" in metrics else []) + (["vmaf"] if _libvmaf(metrics) else [])
    parts = [f"[0:v]split[even][odd];[even]select='not(mod(n,2))',{number}{_fan('r', kinds)}"]
    parts.append(f"[odd]select='mod(n,2)',{number}{_fan('d', kinds)}")
    if "ssim" in kinds:
        parts.append("[dssim]extractplanes=y[dy];[rssim]extractplanes=y[ry];[dy][ry]ssim=stats_file=ssim.log[ossim]")
    if "vmaf" in kinds:
        parts.append(f"[dvmaf][rvmaf]libvmaf=log_fmt=json:log_path=vmaf.json:n_threads={threads}"
                     f":{_libvmaf_options(metrics)}[ovmaf]")  # fmt: skip
    return ";".join(parts), [f"[o{kind}]" for kind in kinds]


def _fan(side: str, kinds: list[str]) -> str:
    return f",split={len(kinds)}" + "".join(f"[{side}{kind}]" for kind in kinds)


def _libvmaf(metrics: frozenset[str]) -> frozenset[str]:
    return metrics & _LIBVMAF_KEYS.keys()


def _libvmaf_options(metrics: frozenset[str]) -> str:
    models = [f"version={MODELS[name]}\\:name={name}" for name in ("vmaf", "vmaf_neg") if name in metrics]
    options = f"model='{'|'.join(models)}'"
    return options + (":feature='name=float_ms_ssim'" if "ms_ssim" in metrics else "")


def _start(info: VideoInfo, metrics: frozenset[str], threads: int, folder: Path) -> subprocess.Popen[bytes]:
    filters, outputs = graph(metrics, threads)
    pix_fmt = "yuv420p" if info.bit_depth == 8 else "yuv420p10le"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-filter_complex_threads", str(threads)]
    command += ["-f", "rawvideo", "-pix_fmt", pix_fmt, "-video_size", f"{info.width}x{info.height}", "-i", "pipe:0"]
    command += ["-filter_complex", filters]
    for output in outputs:
        command += ["-map", output, "-fps_mode", "passthrough", "-enc_time_base", "filter", "-f", "null", "-"]
    with (folder / "stderr").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log, cwd=folder)


def _grey_chroma(info: VideoInfo) -> bytes:
    samples = 2 * -(-info.width // 2) * -(-info.height // 2)
    grey = np.full(samples, 1 << (info.bit_depth - 1), info.dtype.newbyteorder("<"))
    return grey.tobytes()


def _widen(pipe: int) -> None:
    with suppress(OSError):  # refused where the user's pipes are many already; only slower
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _read(folder: Path, metrics: frozenset[str]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    if "ssim" in metrics:  # lines of: n:1 Y:0.972131 All:0.972131 (15.548761)
        lines = (folder / "ssim.log").read_text().splitlines()
        values["ssim"] = [float(line.split()[1].removeprefix("Y:")) for line in lines]
    if _libvmaf(metrics):
        report = msgspec.json.decode((folder / "vmaf.json").read_bytes())
        for name in _libvmaf(metrics):
            values[name] = [frame["metrics"][_LIBVMAF_KEYS[name]] for frame in report["frames"]]
    return values
