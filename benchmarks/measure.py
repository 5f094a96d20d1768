"""What measuring costs: PSNR-Y, SSIM and VMAF of a 1080p pair by `compare`, beside ffmpeg's own filter graph.

    python -m benchmarks.measure [--rounds 5] [--threads 1]

The bar: at most 1.2 times ffmpeg's time for the same three. Both decode the same two files; the rounds alternate, and
the best of each is taken, so that a busy machine disturbs the ratio less. CPU-seconds stand beside wall seconds.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg
from rich.console import Console
from rich.table import Table

from gpu_workers.codec.measure.quality import compare

CLIP = Path(__file__).resolve().parents[1] / "tests" / "data" / "video" / "drive_1080p30.mp4"
BAR = 1.2


class Cost(NamedTuple):
    wall_s: float
    cpu_s: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="aether-bench-") as folder:
        stream = encode(Path(folder) / "drive.ivf")
        ways: dict[str, Callable[[], object]] = {
            "ffmpeg's filter graph: PSNR, SSIM, VMAF": lambda: filter_graph(stream, Path(folder), chosen.threads),
            "compare: PSNR, SSIM, VMAF": lambda: compare(CLIP, stream, threads=chosen.threads, extras=False),
            "compare with MS-SSIM and VMAF NEG too": lambda: compare(CLIP, stream, threads=chosen.threads),
        }
        costs = rounds(ways, chosen.rounds)
    show(costs, chosen.threads)


def rounds(ways: dict[str, Callable[[], object]], count: int) -> dict[str, Cost]:
    seen: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(count):
        for name, way in ways.items():
            seen[name].append(cost_of(way))
    return {name: min(costs) for name, costs in seen.items()}


def cost_of(way: Callable[[], object]) -> Cost:
    wall, cpu = time.perf_counter(), cpu_seconds()
    way()
    return Cost(time.perf_counter() - wall, cpu_seconds() - cpu)


def cpu_seconds() -> float:
    """Of this process and of the children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def encode(target: Path) -> Path:
    ffmpeg("-i", CLIP, "-an", "-c:v", "libsvtav1", "-preset", "8", "-crf", "50", target)
    return target


def filter_graph(stream: Path, folder: Path, threads: int) -> None:
    number = "settb=1/100,setpts=N,format=yuv420p,split=3"
    graph = (
        f"[0:v]{number}[a][b][c];[1:v]{number}[d][e][f];[a][d]psnr=stats_file={folder}/psnr.log[o1];"
        f"[b][e]ssim=stats_file={folder}/ssim.log[o2];"
        f"[c][f]libvmaf=log_fmt=json:log_path={folder}/vmaf.json:n_threads={threads}[o3]"
    )
    outputs = []
    for name in ("[o1]", "[o2]", "[o3]"):
        outputs += ["-map", name, "-fps_mode", "passthrough", "-enc_time_base", "filter", "-f", "null", "-"]
    ffmpeg("-filter_complex_threads", threads, "-i", stream, "-i", CLIP, "-filter_complex", graph, *outputs)


def ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def show(costs: dict[str, Cost], threads: int) -> None:
    base = next(iter(costs.values()))
    table = Table(title=f"{CLIP.stem}, 54 frames, VMAF threads {threads}")
    for column in ("way", "wall s", "CPU s", "wall ratio", "CPU ratio"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for name, cost in costs.items():
        ratios = (cost.wall_s / base.wall_s, cost.cpu_s / base.cpu_s)
        table.add_row(name, f"{cost.wall_s:.2f}", f"{cost.cpu_s:.2f}", *(f"{ratio:.2f}" for ratio in ratios))
    Console().print(table)
    ratio = list(costs.values())[1].wall_s / base.wall_s
    print(f"bar: ratio {ratio:.2f} of at most {BAR}: {'met' if ratio <= BAR else 'MISSED'}")


if __name__ == "__main__":
    main()
