"""What the sandbox costs: a phase that does nothing, and the three encoders, in a box and as a plain process.

    python -m benchmarks.sandbox [--rounds 7] [--threads 1]

The bars: less than 250 ms more for a phase, and encoders as fast as outside. The two sides alternate, and which goes
first changes each round; the ratio is that of neighbours, its median stands with the quartiles. Processor time is the
figure to trust on a machine that has other work; of an encoder it is what the phase's own record says of its encoding,
start and imports apart.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from gpu_workers.codec.encoding import EncodeRecord
from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.video import facts
from gpu_workers.phase import BoundClip, Box, PhaseRequest
from gpu_workers.runner import ProcessRunner, Runner
from gpu_workers.sandbox.canary import sandbox_here
from gpu_workers.sandbox.runner import BoxRunner
from lab.experiment import Spec
from lab.space import Value

CLIP = Path(__file__).resolve().parents[1] / "clips" / "flower_score.mp4"
ENCODERS: dict[str, dict[str, Value]] = {
    "SVT-AV1 6": as_people_run("svtav1", svtav1_crf=40.0),
    "x265 medium": as_people_run("x265", x265_crf=28.0),
    "VVenC faster": as_people_run("vvenc", vvenc_qp=34),
}
BAR_MS = 250


class Side(NamedTuple):
    seconds: float  # from the start to the end, seen from outside
    cpu_s: float


class Pair(NamedTuple):
    plain: Side
    boxed: Side


def nothing(box: Box) -> None:
    """The phase whose whole cost is its start and its end."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    if not sandbox_here().works:
        raise SystemExit(sandbox_here().why)
    table = Table("phase", "plain", "boxed", "CPU ratio (quartiles)", "wall ratio (quartiles)",
                  title=f"{sandbox_here().by}, {chosen.threads} threads, {chosen.rounds} rounds")
    empty = [pair(lambda out: request("benchmarks.sandbox:nothing", out, {}, ()), turn) for turn in
             range(3 * chosen.rounds)]
    table.add_row("that does nothing", *milliseconds(empty), *ratios(empty))
    clip = BoundClip(name="clip", hash="0" * 64, role="score", path=str(CLIP), facts=facts(CLIP))
    for name, params in ENCODERS.items():
        pairs = [pair(encoding(params, clip, chosen.threads), turn) for turn in range(chosen.rounds)]
        table.add_row(name, *milliseconds(pairs), *ratios(pairs))
    console = Console()
    console.print(table)
    more_ms = 1000 * statistics.median(one.boxed.seconds - one.plain.seconds for one in empty)
    console.print(f"a box adds {more_ms:.0f} ms to a phase; the bar is {BAR_MS}")


def encoding(params: dict[str, Value], clip: BoundClip, threads: int) -> Callable[[Path], PhaseRequest]:
    return lambda out: request("gpu_workers.codec.encoding:encode", out, params, (clip,), threads)


def request(entry: str, out: Path, params: dict[str, Value], clips: tuple[BoundClip, ...],
            threads: int = 1) -> PhaseRequest:
    spec = Spec(track="codec", family="classic", params=params, clips="c" * 64, seed=1, protocol=1)
    out.mkdir()
    return PhaseRequest(entry=entry, spec=spec, out=str(out), clips=clips, threads=threads,
                        outputs=("encode.json",) if clips else (), machine_lock=str(out.parent / "lock"))


def pair(asked: Callable[[Path], PhaseRequest], turn: int) -> Pair:
    """Both sides once; the odd turns begin with the box."""
    runners: tuple[Runner, ...] = (ProcessRunner(), BoxRunner())
    with tempfile.TemporaryDirectory(prefix="aether-bench-") as folder:
        order = (0, 1) if turn % 2 == 0 else (1, 0)
        found = {side: run(runners[side], asked(Path(folder) / str(side))) for side in order}
    return Pair(found[0], found[1])


def run(runner: Runner, asked: PhaseRequest) -> Side:
    begin = time.perf_counter()
    running = runner.start(asked, 600, 4096)
    while (end := running.poll()) is None:
        time.sleep(0.002)
    seconds = time.perf_counter() - begin
    assert end.reason is None, end
    record = Path(asked.out, "encode.json")
    if not record.exists():
        return Side(seconds, end.cpu_s)
    records = msgspec.json.decode(record.read_bytes(), type=dict[str, EncodeRecord])
    return Side(seconds, sum(one.cpu_s for one in records.values()))


def milliseconds(pairs: list[Pair]) -> tuple[str, str]:
    plain, boxed = (statistics.median(one[side].seconds for one in pairs) for side in (0, 1))
    return f"{1000 * plain:.0f} ms", f"{1000 * boxed:.0f} ms"


def ratios(pairs: list[Pair]) -> tuple[str, str]:
    return (spread([one.boxed.cpu_s / one.plain.cpu_s for one in pairs]),
            spread([one.boxed.seconds / one.plain.seconds for one in pairs]))


def spread(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
