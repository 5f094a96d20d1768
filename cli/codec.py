"""`aether codec`: the codecs as plain tools, from file to file, with the code that the experiments run.

Encode at an asked rate or quality, decode, compare two files by every metric, look into a stream, bench encoders.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import families
from cli.output import DEFAULT_BACKEND, BackendOption, JsonOption, console, emit, number, open_lab, seconds, table
from cli.params import parse_params
from cli.progress import progress_bar
from lab.errors import UserError
from lab.words import count

if TYPE_CHECKING:
    from gpu_workers.codec.card import Card
    from gpu_workers.codec.measure.quality import QualityResult
    from lab.space import Value

ThreadsOption = Annotated[int, typer.Option("--threads", min=0, help="Threads; 0 takes every core.")]

OTHERS = (".mp4", ".mov", ".mkv", ".webm", ".y4m", ".yuv")  # names that would promise what an .aec is not
FAR_OFF = 1.1  # a rate that misses the asked one by more than this factor is told

app = typer.Typer(no_args_is_help=True)


@app.command()
def encode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Any video that PyAV opens.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.aec")],
    mbps: Annotated[float | None, typer.Option(help="Average rate; 1 Mbps where nothing is asked.")] = None,
    crf: Annotated[float | None, typer.Option(help="The encoder's constant quality.")] = None,
    psnr: Annotated[float | None, typer.Option(help="Least rate that reaches this mean PSNR-Y, in dB.")] = None,
    family: Annotated[str, typer.Option(help="Codec family: classic, unless --model says another; restore, …")] = "",
    encoder: Annotated[str, typer.Option(help="svtav1, x265 or vvenc.")] = "",
    preset: Annotated[str, typer.Option(help="The encoder's own preset, such as 6 or medium.")] = "",
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Any other parameter of the family's "
                                                    "search space; may be repeated.")] = None,
    model: Annotated[str, typer.Option(metavar="EXPERIMENT|DIR", help="Take family, parameters and weights of this "
                                       "experiment, or of a folder that `aether export` made.")] = "",
    threads: ThreadsOption = 0, backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False,
) -> None:
    """Encode a video into an .aec, by default with SVT-AV1."""
    from cli import models
    from gpu_workers.codec.transcode import encode_file
    if target.suffix.lower() in OTHERS:
        raise UserError(f"{target} would hold an .aec, which players cannot read; "
                        f"name it {target.stem}.aec, and decode it into {target.name}")
    params: dict[str, Value] = {}
    weights = None
    if model:
        chosen = models.chosen(model, backend)
        _require_same(family, chosen.spec.family, model)
        family, params, weights = chosen.spec.family, dict(chosen.spec.params), chosen.weights
    params |= _asked_params(params, encoder, preset, param or [])
    family = family or "classic"
    _require_weights(family, params, weights is not None)
    with progress_bar() as progress:
        report = encode_file(source, target, family=family, mbps=mbps, crf=crf, psnr_db=psnr, params=params,
                             model=weights, threads=threads or None, progress=progress)
    if mbps is not None and abs(math.log(report.mbps / mbps)) > math.log(FAR_OFF):
        coder = report.params.get("encoder", report.family)
        typer.echo(f"warning: {mbps:g} Mbps is out of reach for {coder} on this source; the nearest is "
                   f"{report.mbps:.4g}", err=True)
    if json:
        emit(report)
        return
    quality = "" if report.psnr_y_db is None else f", PSNR-Y {report.psnr_y_db:.2f} dB"
    tries = "" if report.encodings == 1 else f" ({count(report.encodings, 'encoding')})"
    console().print(f"{target}: {count(report.frames, 'frame')}, {report.bytes:,} bytes, {report.mbps:.4g} "
                    f"Mbps{quality}, {_setting(report.family, report.params)}{tries}", markup=False, soft_wrap=True)
    if report.model:
        console().print(f"decoding it needs the weights {report.model[:12]}…: send {weights} along, for "
                        f"`aether codec decode --model FILE`", markup=False, soft_wrap=True)


@app.command()
def decode(source: Annotated[Path, typer.Argument(metavar="IN.aec")],
           target: Annotated[Path, typer.Argument(metavar="OUT", help=".y4m and .yuv bare frames, .mkv lossless, "
                                                  ".mp4 or .mov for watching, near-lossless.")],
           model: Annotated[list[str] | None, typer.Option(metavar="FILE|DIR|EXPERIMENT", help="Weights that it needs; "
                                                           "those of the laboratory are found by their hash.")] = None,
           threads: ThreadsOption = 0, backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Decode an .aec; of a cut file, the frames before the cut."""
    from cli.models import Weights
    from gpu_workers.codec.transcode import WATCHED_CRF, decode_file
    weights = Weights(model or [], backend)
    with progress_bar() as progress:
        found = decode_file(source, target, models=weights, threads=threads or None, progress=progress)
    if json:
        emit(found)
        return
    padded = f", padded to {found.width}×{found.height} since its chroma needs even sides" if found.padded else ""
    again = f", coded again for watching (H.264, CRF {WATCHED_CRF}: near-lossless){padded}; .mkv keeps every value"
    console().print(f"{target}: {count(found.frames, 'frame')}{'' if found.exact else again}", markup=False,
                    soft_wrap=True)


@app.command()
def compare(reference: Annotated[Path, typer.Argument(help="The original.")],
            distorted: Annotated[Path, typer.Argument(help="A video file, or an .aec.")],
            threads: ThreadsOption = 0, json: JsonOption = False) -> None:
    """Measure a video against its original by every metric."""
    from gpu_workers.codec.measure.quality import compare as measure
    with _as_video(distorted, threads) as copy, progress_bar() as progress:
        frames = frame_count(reference)
        result = measure(reference, copy, threads=threads or os.cpu_count() or 1,
                         progress=lambda done: progress("comparing", done / frames))
        mbps = None if copy == distorted else inspect_file(distorted).mbps
    values = {**({} if mbps is None else {"bitrate_mbps": mbps}), **result.mean}
    if json:
        emit({"values": values, "why": result.why, "frames": result.frames, "models": result.models,
              "worst_frames": result.worst_frames(), "note": result.note})
        return
    console().print(_comparison(values, result))
    for line in _remarks(values, result):
        console().print(line, markup=False)


@app.command()
def info(file: Annotated[Path, typer.Argument(metavar="FILE", help="An .aec, or any video.")],
         backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """What a file says of itself, whether it is whole, and which experiment trained the weights that it needs."""
    if is_stream(file):
        card = inspect_file(file)
        if json:
            emit(card)
        else:
            from cli.models import made_by
            _print_pairs(_card_pairs(card, made_by(card.header.model, backend) if card.header.model else ""))
        if card.problem:
            raise UserError(f"{file} is not whole: {card.problem}")
        return
    from gpu_workers.codec.video import facts
    found = facts(file)
    if json:
        emit(found)
    else:
        _print_pairs([(name, number(value, 6) if isinstance(value, float) else str(value))
                      for name, value in found.items() if value is not None])


@app.command()
def bench(clips: Annotated[list[Path], typer.Argument(metavar="CLIP…", help="Video files.")],
          ladders: Annotated[list[str] | None, typer.Option("--encoder", help="Only this one, such as svtav1; may be "
                                                              "repeated.")]
          = None,
          model: Annotated[list[str] | None, typer.Option(metavar="EXPERIMENT", help="An experiment's own ladder "
                                                          "beside them; may be repeated.")] = None,
          picture: Annotated[Path, typer.Option("--svg", help="Where the picture goes.")] = Path("bench.svg"),
          cache: Annotated[Path | None, typer.Option(help="Where measured points are kept.")] = None,
          threads: ThreadsOption = 1, backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Rate-distortion points and BD-rate of every encoder and anchor, as tables and a picture."""
    from cli.codec_bench import default_cache, draw, ladders_named, show
    from gpu_workers.codec.bench import bench as measure
    chosen = ladders_named(ladders or [], [open_lab(backend).ledger.experiment(id) for id in model or []])
    with progress_bar() as progress:
        found = measure(clips, chosen, cache=cache or default_cache(), threads=threads or os.cpu_count() or 1,
                        progress=progress)
    draw(found, picture)
    if json:
        emit({"curves": found.curves, "bd_rates": found.bd_rates, "picture": str(picture)})
    else:
        show(found, console())
        console().print(f"picture: {picture}", markup=False)


# ---------------------------------------------------------------------- what they lean on


def _asked_params(known: dict[str, Any], encoder: str, preset: str, pairs: Sequence[str]) -> dict[str, Value]:
    """What the options say, in the search space's own names. `known` is what an experiment said before."""
    found: dict[str, Value] = {"encoder": encoder} if encoder else {}
    if preset:
        name = f"{encoder or known.get('encoder', 'svtav1')}_preset"
        pairs = [*pairs, f"{name}={preset}"]
    return found | parse_params(pairs)


def _require_same(asked: str, family: str, model: str) -> None:
    if asked and asked != family:
        raise UserError(f"--family {asked}, but {model} is of the family {family}; leave --family out")


def _require_weights(family: str, params: dict[str, Value], there: bool) -> None:
    """A family that is trained first has nothing to encode with before that."""
    from lab.track import load_track
    known = next((one for one in load_track("codec").families if one.name == family), None)
    if known is not None and known.trains(params) and not there:
        raise UserError(f"{family} needs trained weights for this: --model EXPERIMENT, such as the best of "
                        f"`aether experiments list`; `aether run` trains some")
    if known is not None and (missing := known.missing()):
        raise UserError(f"{family} needs {' and '.join(missing)}, not installed; {families.FIX}")


def _setting(family: str, params: dict[str, Any]) -> str:
    if family != "classic":
        from cli.words import told
        from lab.track import load_track
        return told(load_track("codec").family(family), params)
    encoder = str(params["encoder"])
    rate = str(params[f"{encoder}_rate"])
    return f"{encoder} preset {params[f'{encoder}_preset']}, {rate} {params[f'{encoder}_{rate}']:g}"


def is_stream(path: Path) -> bool:
    """Whether the file begins as an .aec does, whatever its name. Raises UserError where it cannot be read."""
    from gpu_workers.codec.decoder.header import MAGIC
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; check the path") from None


def inspect_file(path: Path) -> Card:
    from gpu_workers.codec.card import inspect
    return inspect(path)


def frame_count(path: Path) -> int:
    from gpu_workers.codec.video import FrameReader
    return len(FrameReader(path))


@contextmanager
def _as_video(path: Path, threads: int) -> Iterator[Path]:
    """The file itself, or a lossless decoding of an .aec."""
    if not is_stream(path):
        yield path
        return
    from tempfile import TemporaryDirectory

    from gpu_workers.codec.transcode import decode_file
    with TemporaryDirectory(prefix="aether-") as folder, progress_bar() as progress:
        decoded = Path(folder, f"{path.stem}.mkv")
        decode_file(path, decoded, threads=threads or None, progress=progress)
        yield decoded


def _comparison(values: dict[str, float | None], result: QualityResult) -> Any:
    from gpu_workers.codec.metrics import METRICS
    known = {metric.name: metric for metric in METRICS}
    rows = []
    for name in sorted(values, key=list(known).index):
        value = values[name]
        frames = result.per_frame.get(name, [])
        worst = (min(frames) if known[name].better == "higher" else max(frames)) if frames else None
        rows.append((name, number(value, 6), number(worst, 6), known[name].unit, known[name].definition.split(";")[0]
                     if value is not None else result.why.get(name, "")))
    return table("metric", "mean", "worst", "unit", "what it is", right=("mean", "worst"), rows=rows)


def _remarks(values: dict[str, float | None], result: QualityResult) -> list[str]:
    worst = ", ".join(f"#{frame}" for frame in result.worst_frames())
    return [f"{count(result.frames, 'frame')}; worst by PSNR-Y: {worst}", *([result.note] if result.note else [])]


def _card_pairs(card: Card, maker: str) -> list[tuple[str, str]]:
    header = card.header
    frames = card.frames or 0
    duration = seconds(frames * header.fps_den / header.fps_num)
    chunks = ", ".join(f"{times} {kind}" for kind, times in sorted(card.chunks.items()))
    shots = f" in {len(card.segments)} segments" if len(card.segments) > 1 else ""
    return [("family", ", ".join(dict.fromkeys(one.family for one in card.segments)) + shots),
            ("model", f"{header.model}{maker}" if header.model else "none needed"),
            ("picture", f"{header.width}×{header.height} {header.pix_fmt}, {header.fps_num / header.fps_den:.6g} fps"),
            ("colour", f"{'full' if header.full_range else 'limited'} range, matrix {header.matrix}"),
            ("frames", f"{frames}, {duration}" if card.frames else "not known: the file was cut while written"),
            ("size", f"{card.bytes:,} bytes, {number(card.mbps)} Mbps"),
            ("chunks", f"{chunks}; {card.overhead_bytes:,} bytes of container"),
            ("whole", card.problem or "yes, every checksum holds")]


def _print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        console().print(f"{name:<{width}}  {value}", markup=False)
