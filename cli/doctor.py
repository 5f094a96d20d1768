"""`aether doctor`: looks at this machine and at the laboratory, one line a finding with its fix, and repairs records.

Exit code 0 where all is well, 1 where something is left to mend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import checks
from cli.checks import REPAIR, bad
from cli.output import DEFAULT_BACKEND, BackendOption, JsonOption, console, emit, open_lab
from lab.errors import AetherError
from lab.findings import Finding
from lab.words import count

if TYPE_CHECKING:
    from lab.local.doctor import Repair

NAMED = 20  # of many restored records, so many by name
SIGNS = {"ok": "✓", "note": "·", "bad": "✗"}
BETTER = {"lower": "lower is better", "higher": "higher is better", "neither": "for knowing"}
STYLES = {"ok": "green", "note": "yellow", "bad": "bold red"}


def doctor(repair: Annotated[bool, typer.Option("--repair", help="Restore damaged records from the journal; what is "
                                                "damaged is kept aside.")] = False,
           metrics: Annotated[bool, typer.Option("--metrics", help="Each metric's definition and source.")] = False,
           backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Check this machine and the laboratory; repair from the journal."""
    if metrics:
        _show_metrics(json)
        return
    found: list[Finding] = []
    for check in _all(backend, repair):
        found.append(check)
        if not json:
            _say(check)
    wrong = sum(check.level == "bad" for check in found)
    if json:
        emit({"well": not wrong, "checks": found})
    else:
        console().print(f"{wrong} to mend" if wrong else "all is well", markup=False)
    if wrong:
        raise typer.Exit(1)


def _all(address: str, repair: bool) -> Iterator[Finding]:
    yield from checks.machine()
    scheme, _, rest = address.partition(":")
    if scheme == "aws":
        yield from _account(address, rest, repair)
        return
    folder = Path(rest)
    if not address.startswith("local:") or not _is_lab(folder):
        yield Finding(name="laboratory", found=f"none at {address}; `aether run` makes one", level="note")
        return
    yield from checks.folder(folder)
    if not checks.writable(folder):  # SQLite cannot even read there
        return
    try:
        yield from _records(folder, repair)
        lab = open_lab(address)
    except AetherError as error:
        yield bad("laboratory", str(error), REPAIR)
        return
    yield from checks.contents(lab)
    yield from _files(address, folder, repair)


def _account(address: str, prefix: str, repair: bool) -> Iterator[Finding]:
    from lab.aws import doctor
    found = list(doctor.examine(prefix))
    yield from found
    if repair:
        yield Finding(name="repair", found="does not apply: restore the account's table to a point in time",
                      level="note")
    if not any(one.level == "bad" for one in found):
        yield from checks.contents(open_lab(address))


def _is_lab(folder: Path) -> bool:
    from lab.local.doctor import DATABASE, JOURNAL
    return any((folder / name).exists() for name in (DATABASE, JOURNAL))


def _records(folder: Path, repair: bool) -> Iterator[Finding]:
    from cli.gc import pruned_upto
    from lab.local import doctor
    from lab.local.store import FileStore
    pruned = pruned_upto(FileStore(folder / doctor.STORE))
    found = doctor.examine(folder, pruned)
    if repair and not found.sound:
        yield from _repaired(doctor.repair(folder, _stamp(), pruned))
        found = doctor.examine(folder, pruned)
    yield from checks.records(found)


def _repaired(done: Repair) -> Iterator[Finding]:
    named = [(kind, id, n) for kind, id, n in done.restored if kind not in ("op", "change")]
    for kind, id, n in named[:NAMED]:
        yield Finding(name="restored", found=f"{kind} {id} as of change {n}")
    if more := len(done.restored) - len(named[:NAMED]):
        kinds = Counter(kind for kind, _, _ in done.restored)
        told = ", ".join(f"{times} {kind}" for kind, times in kinds.most_common())
        yield Finding(name="restored", found=f"{more} more; in all {told}")
    for line in done.not_restored:
        yield Finding(name="not restored", found=line, level="note")
    yield Finding(name="kept aside", found=f"the damaged files, in {done.kept_aside}", level="note")


def _files(address: str, folder: Path, repair: bool) -> Iterator[Finding]:
    """Every file of the store against its hash."""
    from lab.local import doctor
    from lab.local.store import FileStore
    damaged = doctor.damaged_files(FileStore(folder / doctor.STORE))
    if not damaged:
        yield Finding(name="files", found="every stored file matches its hash")
        return
    for name in checks.needed_by(open_lab(address), damaged):
        yield bad("files", f"{name} does not match its hash", "set aside" if repair else REPAIR)
    if repair:
        stamp = _stamp()
        doctor.set_aside(folder, damaged, stamp)
        yield Finding(name="kept aside", found=f"{count(len(damaged), 'file')}, in {folder / f'damaged-{stamp}'}; "
                                             f"clips can be added again now", level="note")


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S")


def _say(check: Finding) -> None:
    from rich.text import Text
    line = Text(f"{SIGNS[check.level]} ", style=STYLES[check.level]).append(f"{check.name:<14} ", style="bold")
    line.append(check.found, style="")
    console().print(line, soft_wrap=True)
    if check.fix:
        console().print(f"  {'':<14} → {check.fix}", markup=False, soft_wrap=True)


def _show_metrics(json: bool) -> None:
    from importlib.metadata import entry_points

    from lab.track import load_track
    tracks = [load_track(point.name) for point in sorted(entry_points(group="aether.tracks"), key=lambda p: p.name)]
    if json:
        emit({"tracks": {track.name: track.metrics for track in tracks}})
        return
    from rich.padding import Padding
    from rich.text import Text
    for metric in (metric for track in tracks for metric in track.metrics):
        unit = f"{metric.unit}, " if metric.unit else ""
        console().print(Text(metric.name, style="bold").append(f"  {unit}{BETTER[metric.better]}", style="dim"))
        console().print(Padding(Text(f"{metric.definition}\nsource: {metric.source}"), (0, 0, 0, 4), expand=False))
