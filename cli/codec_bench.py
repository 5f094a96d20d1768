"""How `aether codec bench` shows what it measured: points and BD-rates as tables, the curves as a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from cli.output import number, table
from gpu_workers.codec.ladders import LADDERS, Ladder, ladder, ladder_of
from lab.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from gpu_workers.codec.bench import Bench
    from gpu_workers.codec.measure.bdrate import Delta
    from lab.experiment import Experiment


WIDTH, HEIGHT, HEADING, ROW, COLUMNS = 760, 400, 34, 18, 5  # of one sequence's picture, in pixels; of its legend


def default_cache() -> Path:
    """Where points are kept from one bench to the next: the person's own cache folder."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "aether" / "bench"


def ladders_named(names: Sequence[str], experiments: Sequence[Experiment]) -> list[Ladder]:
    """Those named, or all; and one for each experiment around its own operating point. Raises NotFound."""
    chosen = [ladder(name) for name in names] if names else list(LADDERS)
    return chosen + [ladder_of(one.id, one.spec) for one in experiments]


def show(found: Bench, out: Console) -> None:
    sequences = list(dict.fromkeys(curve.sequence for curve in found.curves))
    for sequence in sequences:
        rows = [(curve.ladder if nth == 0 else "", number(point.bitrate_mbps), f"{point.psnr_y_db:.2f}",
                 number(point.quality.get("ssim")), number(point.quality.get("vmaf")), number(point.encode_cpu_s, 3))
                for curve in found.curves if curve.sequence == sequence for nth, point in enumerate(curve.points)]
        out.print()
        columns = ("encoder", "Mbps", "PSNR-Y dB", "SSIM", "VMAF", "CPU s")
        out.print(table(*columns, title=sequence, rows=rows, right=columns[1:]))
    for anchor in dict.fromkeys(one.anchor for one in found.bd_rates):
        _show_bd_rates(found, anchor, sequences, out)


def draw(found: Bench, target: Path) -> None:
    """The curves of each sequence, one picture below the other, in one SVG file."""
    from agents.chart import STYLE
    sequences = list(dict.fromkeys(curve.sequence for curve in found.curves))
    ladders = list(dict.fromkeys(curve.ladder for curve in found.curves))
    head = HEADING + ROW * -(-len(ladders) // COLUMNS)
    step = head + HEIGHT
    parts = [f'<g class="chart" transform="translate(0 {nth * step})"><text class="name" x="8" y="22" font-size="15">'
             f'{escape(sequence)}</text>{_legend(ladders)}</g>'
             f'<g transform="translate(0 {nth * step + head})">{_curves(found, sequence, ladders)}</g>'
             for nth, sequence in enumerate(sequences)]
    picture = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {step * len(sequences)}" '
               f'width="{WIDTH}">{STYLE}{"".join(parts)}</svg>\n')
    try:
        target.write_text(picture)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}; name another with --svg") from None


def _legend(ladders: Sequence[str]) -> str:
    from agents.chart import COLOURS
    places = [(12 + nth % COLUMNS * (WIDTH // COLUMNS), HEADING + 6 + nth // COLUMNS * ROW)
              for nth in range(len(ladders))]
    return "".join(f'<circle cx="{x}" cy="{y}" r="4" fill="var(--c{nth % COLOURS + 1})"/>'
                   f'<text x="{x + 9}" y="{y + 4}">{escape(name)}</text>'
                   for nth, (name, (x, y)) in enumerate(zip(ladders, places, strict=True)))


def _curves(found: Bench, sequence: str, ladders: Sequence[str]) -> str:
    from agents.chart import Axis, Mark, Series
    from agents.chart import draw as chart
    series = [Series(name=curve.ladder, colour=ladders.index(curve.ladder) + 1, line="straight", marks=tuple(
                     Mark(x=mbps, y=db, title=f"{curve.ladder}: {mbps:.3g} Mbps, {db:.2f} dB")
                     for mbps, db in sorted(curve.rd)))
              for curve in found.curves if curve.sequence == sequence]
    picture = chart(series, Axis(label="Mbps", log=True), Axis(label="PSNR-Y, dB"), width=WIDTH, height=HEIGHT,
                    names=False)
    return picture.replace("<svg ", '<svg preserveAspectRatio="xMinYMin" ', 1)  # it has no height inside another


def _show_bd_rates(found: Bench, anchor: str, sequences: Sequence[str], out: Console) -> None:
    deltas = {(one.ladder, one.sequence): one.delta for one in found.bd_rates if one.anchor == anchor}
    against = [name for name in dict.fromkeys(ladder for ladder, _ in deltas) if name != anchor]
    if not against:
        return
    columns = [*sequences, "the set"]
    out.print()
    rows = [(name, *(_percent(deltas[name, sequence]) for sequence in (*sequences, None))) for name in against]
    out.print(table(f"BD-rate against {anchor}, %", *columns, rows=rows, right=columns))
    for name in against:
        remark = deltas[name, None].why or deltas[name, None].note
        if remark:
            out.print(f"  {name}: {remark}", markup=False)


def _percent(delta: Delta) -> str:
    return "–" if delta.value is None else f"{delta.value:+.1f}"
