"""What the codec track needs of a machine: the ffmpeg binary with its encoders and filters, PyAV with its decoders."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import av
import imageio_ffmpeg

from gpu_workers.codec.decoder.classic import DECODERS
from gpu_workers.codec.frames import VideoInfo
from gpu_workers.codec.measure import lpips
from lab.track import Health

ENCODERS = ("libx265", "libsvtav1", "libvvenc")
FILTERS = ("libvmaf", "ssim", "scale")
AGAIN = "install Aether's requirements again with `make setup`"
PATIENCE_S = 20


def health() -> Sequence[Health]:
    return [_ffmpeg(), _decoders(), _backbone()]


def _ffmpeg() -> Health:
    try:
        binary = imageio_ffmpeg.get_ffmpeg_exe()
        words = {word for list in ("-encoders", "-filters") for word in _said(binary, list).split()}
        version = _said(binary, "-version").split()[2]
    except (RuntimeError, OSError, subprocess.SubprocessError, IndexError) as error:
        return Health(name="ffmpeg", found=f"does not run: {error}", fix=AGAIN)
    missing = [name for name in (*ENCODERS, *FILTERS) if name not in words]
    if missing:
        return Health(name="ffmpeg", found=f"{version} lacks {', '.join(missing)}",
                      fix=f"unset IMAGEIO_FFMPEG_EXE, or {AGAIN}")
    return Health(name="ffmpeg", found=f"{version} with {', '.join((*ENCODERS, FILTERS[0]))}")


def _said(binary: str, *arguments: str) -> str:
    return subprocess.run([binary, "-hide_banner", *arguments], capture_output=True, check=True,
                          stdin=subprocess.DEVNULL, timeout=PATIENCE_S).stdout.decode(errors="replace")


def _decoders() -> Health:
    missing = [name for name in DECODERS.values() if name not in av.codecs_available]
    if missing:
        return Health(name="PyAV", found=f"{av.__version__} lacks the decoders {', '.join(missing)}", fix=AGAIN)
    return Health(name="PyAV", found=f"{av.__version__} with {', '.join(DECODERS.values())}")


def _backbone() -> Health:
    """LPIPS is a bonus: without it the metric is null, and says why."""
    found = lpips.open_lpips(VideoInfo(width=64, height=64, fps_num=1, fps_den=1, frames=1, pix_fmt="yuv420p"))
    if isinstance(found, str):
        what, _, fix = found.partition("; ")
        return Health(name="LPIPS", found=what, fix=fix or AGAIN, needed=False)
    return Health(name="LPIPS", found="ready")
