"""What the doctor looks at: the machine, the laboratory's folder, its records, its files. One line each, with the fix.

A check never raises: what cannot be looked at is a finding of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from cli import families
from cli.output import moment
from lab.errors import AetherError
from lab.findings import Finding, Level
from lab.words import count

if TYPE_CHECKING:
    from lab.backend import Backend
    from lab.local.doctor import Examination

PYTHONS = ((3, 11), (3, 12))
LEAST_FREE_GB = 1.0
CLOCK_SLACK_S = 60.0
NAMED = 4  # of many damaged things, so many by name
REPAIR = "`aether doctor --repair`"


def bad(name: str, found: str, fix: str) -> Finding:
    return Finding(name=name, found=found, fix=fix, level="bad")


# ---------------------------------------------------------------------- the machine


def machine() -> Iterator[Finding]:
    yield _python()
    yield _libraries()
    for point in sorted(entry_points(group="aether.tracks"), key=lambda point: point.name):
        yield from _track(point.name)
    yield _sandbox()
    yield _machine_lock()


def _sandbox() -> Finding:
    """A machine without one still runs what is ours."""
    from gpu_workers.sandbox.canary import sandbox_here
    found = sandbox_here()
    if found.works:
        return Finding(name="sandbox", found=f"holds, with {found.by}: six attacks failed, and every track runs in it")
    what, _, fix = found.why.partition("; ")
    return Finding(name="sandbox", found=f"NOT SANDBOXED: {what}", fix=fix, level="note")


def _python() -> Finding:
    found = sys.version.split()[0]
    if sys.version_info[:2] not in PYTHONS:
        return bad("Python", f"{found} is not tried", "use 3.11 or 3.12: make setup PYTHON=python3.12")
    return Finding(name="Python", found=f"{found}, {count(len(os.sched_getaffinity(0)), 'core')}")


def _libraries() -> Finding:
    wanted = [line.split(";")[0] for line in requires("aether-lab") or [] if "extra ==" not in line]
    names = ["".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0] for line in wanted]
    missing = [name for name in names if not _installed(name)]
    if missing:
        return bad("libraries", f"missing: {', '.join(missing)}", "make setup")
    return Finding(name="libraries", found=f"all {len(names)} of the core are here")


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _track(name: str) -> Iterator[Finding]:
    from lab.track import load_track
    try:
        track = load_track(name)
        yield Finding(name=f"track {name}", found=f"{count(len(track.families), 'family', 'families')}, "
                                                f"{count(len(track.metrics), 'metric')}, protocol {track.protocol}")
        for family in families.left_out(track):
            yield Finding(name=f"family {family.name}", found=f"left out: no {' and no '.join(family.missing())} here",
                        fix=families.FIX, level="note")
        for one in track.health() if track.health else ():
            level: Level = "ok" if not one.fix else "bad" if one.needed else "note"
            yield Finding(name=one.name, found=one.found, fix=one.fix, level=level)
    except Exception as error:  # a track from outside may fail in any way
        yield bad(f"track {name}", f"does not load: {error}", "install it again, or take it out")


def _machine_lock() -> Finding:
    import fcntl

    from gpu_workers.machine import default_path
    path = default_path()
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        return bad("machine lock", f"{path}: {error.strerror}", f"remove {path}, or make it yours")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Finding(name="machine lock", found="free")
    except BlockingIOError:
        return Finding(name="machine lock", found="in use: an encoding or a timed section runs at the moment")
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------- the folder and its records


def folder(path: Path) -> Iterator[Finding]:
    if not writable(path):
        yield bad("folder", f"{path} cannot be written", f"chmod u+rwx {path}, or choose another --backend")
    else:
        yield Finding(name="folder", found=f"{path} can be written")
    free_gb = shutil.disk_usage(path).free / 1e9
    if free_gb < LEAST_FREE_GB:
        yield bad("disk", f"{free_gb:.2f} GB free", "free some space; `aether gc --quota-gb 1` removes old results")
    else:
        yield Finding(name="disk", found=f"{free_gb:,.0f} GB free")


def writable(path: Path) -> bool:
    return os.access(path, os.W_OK | os.X_OK)


def records(found: Examination) -> Iterator[Finding]:
    """Database and journal, by what was found in them."""
    if found.complaint:
        yield bad("database", found.complaint, REPAIR)
    else:
        yield Finding(name="database", found="SQLite's own check finds nothing")
    if found.damaged or found.lost:
        yield bad("records", f"{len(found.damaged)} damaged, {len(found.lost)} lost: "
                  f"{_some([f'{kind} {id}' for kind, id in dict.fromkeys((*found.damaged, *found.lost))])}", REPAIR)
    else:
        yield Finding(name="records", found=f"every hash holds, up to change {found.changes}")
    if found.gaps:
        yield bad("changes", f"in neither database nor journal: {_some([str(n) for n in found.gaps])}", REPAIR)
    if found.diverged is not None:
        yield bad("journal", f"tells change {found.diverged} otherwise than the database: the lab went on after a loss",
                  REPAIR)
    elif found.bad_lines:
        yield bad("journal", count(found.bad_lines, "damaged line"), REPAIR)
    elif found.lag:
        yield Finding(name="journal", found=f"whole, {count(found.lag, 'change')} behind; the daemon catches up at "
                                            f"its start", level="note")
    else:
        yield Finding(name="journal", found="whole and up to date")


# ---------------------------------------------------------------------- the laboratory's contents


def contents(lab: Backend) -> Iterator[Finding]:
    for name, check in (("daemon", _daemon), ("clock", _clock), ("settings", _settings), ("clips", _clips),
                        ("store", _missing)):
        yield from _guarded(name, check, lab)


def _guarded(name: str, check: Callable[[Backend], Finding], lab: Backend) -> Iterator[Finding]:
    try:
        yield check(lab)
    except AetherError as error:
        yield bad(name, str(error).splitlines()[0], REPAIR)


def _daemon(lab: Backend) -> Finding:
    from cli.watch import daemon_line
    line = daemon_line(lab.ledger.office.lease())
    if line.state == "absent":
        return Finding(name="daemon", found="none runs")
    return Finding(name="daemon", found=f"{line.state} as process {line.pid} on {line.host}")


def _clock(lab: Backend) -> Finding:
    """Nothing is lost by a clock that jumps, but reports and months go by it."""
    now, last = time.time(), lab.ledger.changes(max(lab.ledger.last_change() - 1, 0), 1)
    behind_s = last[0].at - now if last else 0.0
    if behind_s > CLOCK_SLACK_S:
        return bad("clock", f"{count(round(behind_s / 60), 'minute')} behind the lab's last change", "set the clock")
    return Finding(name="clock", found=f"{moment(now)} UTC")


def _settings(lab: Backend) -> Finding:
    from lab.settings import parse
    from lab.track import load_track
    revision = lab.ledger.office.control().settings
    pushed = lab.ledger.office.settings(revision)
    if pushed is None:
        return Finding(name="settings", found="the defaults: none was pushed")
    try:
        load_track(parse(pushed.text, f"revision {revision}").lab.track)
    except AetherError as error:
        return bad("settings", str(error).splitlines()[0], "correct the file and `aether settings push`")
    return Finding(name="settings", found=f"revision {revision}")


def _clips(lab: Backend) -> Finding:
    from lab import clipset
    clips = clipset.load(lab.store).clips
    gone = [clip.name for clip in clips if not lab.store.has(clip.hash)]
    roles = {role: sum(clip.role == role for clip in clips) for role in ("train", "score", "confirm")}
    if gone:
        return bad("clips", f"their files are gone: {_some(gone)}", "`aether clips add FILE` again, in the same role")
    if not roles["score"]:
        return Finding(name="clips", found="none to score on; `aether clips add FILE --role score`", level="note")
    return Finding(name="clips", found=", ".join(f"{clips} {role}" for role, clips in roles.items() if clips))


def _missing(lab: Backend) -> Finding:
    """Whether what the lab needs is there; whether it is whole is looked at apart."""
    from cli.gc import marks
    needed = marks(lab).keep
    held = {hash for hash, _, _ in lab.store.hashes()}
    gone = needed - held
    if gone:
        return bad("store", f"{count(len(gone), 'needed file')} gone: {_some(needed_by(lab, gone))}",
                   "add those clips again; results can be made anew")
    return Finding(name="store", found=f"{count(len(held), 'file')}, every needed one among them")


def needed_by(lab: Backend, hashes: Collection[str]) -> list[str]:
    """What these files are: a clip, a clip set, or what an experiment left."""
    from lab import clipset
    from lab.sweep import needs
    found = {clip.hash: f"clip {clip.name}" for clip in clipset.load(lab.store).clips if clip.hash in hashes}
    for experiment in lab.ledger.all_experiments():
        for hash in needs(experiment) & set(hashes):
            found.setdefault(hash, f"{hash[:12]} of {experiment.id}")
    return [found.get(hash, hash[:12]) for hash in sorted(hashes)]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
