"""`aether clips`: the laboratory's footage. Any video that PyAV opens is stored by its hash, with a role and its facts.

Roles: `train` is learned from, `score` is what designers see results of, `confirm` is kept for believing a champion.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from cli.fresh import made_for
from cli.output import (
    DEFAULT_BACKEND,
    BackendOption,
    JsonOption,
    console,
    emit,
    group,
    number,
    open_lab,
    shown_path,
    table,
)
from lab import clipset
from lab.errors import UserError
from lab.experiment import Clip, Dataset
from lab.words import count

if TYPE_CHECKING:
    from lab.backend import Backend
    from lab.track import Track

Role = Literal["train", "score", "confirm"]
RoleOption = Annotated[Role, typer.Option("--role", help="train, score or confirm (no designer sees its numbers).")]
NameOption = Annotated[str, typer.Option("--name", help="The one clip's name here; the file's own where left out.")]

app = group("list")


@app.command()
def add(files: Annotated[list[Path], typer.Argument(help="Video files.", metavar="FILE...")],
        role: RoleOption = "score", name: NameOption = "", backend: BackendOption = DEFAULT_BACKEND,
        json: JsonOption = False) -> None:
    """Add footage. Experiments proposed from now on use it."""
    if name and len(files) > 1:
        raise UserError(f"--name names one clip, and {len(files)} files were given; add them one by one")
    with made_for(backend) as lab:
        track, before = lab_track(lab), clipset.load(lab.store).clips
        for file in files:
            _require_file(file)
        gone = {clip.hash for clip in before if not lab.store.has(clip.hash)}
        given = [_stored(lab, track, file, role, name) for file in files]
        new = [clip for clip in given if clip.hash not in gone and not _is_there(before, clip, name)]
        clips = clipset.change(lab.store, partial(_with_all, new=new)).clips  # all of them, or none
    here = {clip.hash: clip for clip in clips}
    if json:
        emit(Dataset(clips=tuple(here[clip.hash] for clip in given)))
        return
    for clip in given:
        known = here[clip.hash]
        console().print(f"{known.name} ({known.role}) has its file again" if clip.hash in gone else
                        f"added {clip.name} as {role}: {_described(clip)}" if clip in new else
                        f"{known.name} ({known.role}) is here already", markup=False)


def _is_there(clips: Sequence[Clip], clip: Clip, name: str) -> bool:
    """Whether this very footage has this role, and no other name was asked for."""
    return not name and any(other.hash == clip.hash and other.role == clip.role for other in clips)


def _with_all(clips: Dataset, new: Sequence[Clip]) -> Dataset:
    for clip in new:
        clips = clipset.with_clip(clips, clip)
    return clips


@app.command("list")
def list_(backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """The footage and its roles."""
    lab = open_lab(backend)
    clips = clipset.load(lab.store)
    if json:
        emit(clips)
    elif not clips.clips:
        console().print("no clips yet; add one with `aether clips add FILE --role score`", markup=False)
    else:
        console().print(table("clip", "role", "size", "fps", "frames", "Mbps", "hash", right=("fps", "frames", "Mbps"),
                              rows=[_row(clip, lab.store.has(clip.hash)) for clip in clips.clips]))


@app.command()
def remove(name: str, backend: BackendOption = DEFAULT_BACKEND) -> None:
    """Use a clip no longer. Experiments that ran on it keep their numbers."""
    lab = open_lab(backend)
    clipset.change(lab.store, partial(clipset.without, name=name))
    console().print(f"removed {name}", markup=False)


def import_clips(backend: Backend, track: Track, files: Sequence[tuple[Path, Role]]) -> list[str]:
    """Add these files where they are not there yet; gives a line for each that was added. A file whose footage is
    there in that role already changes nothing. Raises UserError for one that is there in another role."""
    added: list[str] = []
    for file, role in files:
        _require_file(file)
        clip = _stored(backend, track, file, role, "")
        before = clipset.load(backend.store)
        if clipset.change(backend.store, partial(_with_new, clip=clip)) != before:
            added.append(f"{clip.name} ({role}): {_described(clip)}")
    return added


def _require_file(file: Path) -> None:
    if file.is_dir():
        raise UserError(f"{shown_path(file)} is a folder; name the files in it")
    if not file.is_file():
        raise UserError(f"there is no file {shown_path(file)}; check the path")


def lab_track(lab: Backend) -> Track:
    """The track that the lab's settings name."""
    from agents.gather import settings_in_force
    from lab.track import load_track
    return load_track(settings_in_force(lab.ledger).lab.track)


def _with_new(clips: Dataset, clip: Clip) -> Dataset:
    """As `with_clip`, but the same footage in the same role is no fault, and a taken name gets a number."""
    if any(other.hash == clip.hash and other.role == clip.role for other in clips.clips):
        return clips
    taken = {other.name for other in clips.clips}
    names = (clip.name, *(f"{clip.name}-{nth}" for nth in range(2, len(taken) + 3)))
    return clipset.with_clip(clips, msgspec.structs.replace(clip, name=next(n for n in names if n not in taken)))


def _stored(lab: Backend, track: Track, file: Path, role: Role, name: str) -> Clip:
    """The file in the store. One that is a clip already is not read as video again."""
    with file.open("rb") as opened:
        hash = file_digest(opened, "sha256").hexdigest()
    facts = next((clip.facts for clip in clipset.load(lab.store).clips if clip.hash == hash), None)
    if facts is None or not lab.store.has(hash):
        facts = track.facts(file)  # what is no video is refused before it is stored
        hash = lab.store.put(file)
    return Clip(name=name or clipset.name_for(file.stem), hash=hash, role=role, facts=facts)


def _described(clip: Clip) -> str:
    facts = clip.facts
    if "width" not in facts:  # a track of another kind
        return clip.hash[:12]
    turned = f", converted from {facts['converted_from']}" if facts.get("converted_from") else ""
    return (f"{facts['width']}×{facts['height']}, {count(facts['frames'], 'frame')} at {facts['fps']:g} fps, "
            f"{number(facts['source_mbps'])} Mbps {facts['codec']}{turned}")


def _row(clip: Clip, here: bool) -> tuple[str, ...]:
    facts = clip.facts
    size = f"{facts['width']}×{facts['height']}" if "width" in facts else "–"
    return (clip.name, clip.role, size, number(facts.get("fps")), number(facts.get("frames")),
            number(facts.get("source_mbps"), 3), clip.hash[:12] if here else "missing: add it again")
