"""The laboratory's footage: one Dataset in the store, behind the pointer `clips`, changed by compare-and-swap.

A name stands for one clip and a content for one role, so that no clip is both learned from and judged on. Experiments
name a Dataset by its hash: what is changed here concerns those proposed afterwards, never those that have run.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lab.backend import Store
from lab.canonical import canonical_json
from lab.errors import Conflict, NotFound, Unavailable, UserError
from lab.experiment import Clip, Dataset
from lab.objects import read_as

POINTER = "clips"
NO_FOOTAGE = "this lab has no clip to score on; add one with `aether clips add FILE --role score`"
TRIES = 20  # lost races in a row
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")  # it becomes a file's name
_FOREIGN = re.compile(r"[^A-Za-z0-9_.+-]+")

Edit = Callable[[Dataset], Dataset]


def load(store: Store) -> Dataset:
    """The clips as they stand; none in a new laboratory."""
    return _read(store, store.pointer(POINTER))


def change(store: Store, edit: Edit) -> Dataset:
    """Put `edit(clips)` in place of the clips, whoever else changes them at the moment. Raises what `edit` raises."""
    for _ in range(TRIES):
        before = store.pointer(POINTER)
        old = _read(store, before)
        new = edit(old)
        if new == old:
            return old
        try:
            store.swap(POINTER, before, store.put_bytes(canonical_json(new)))
            return new
        except Conflict:
            continue
    raise Unavailable(f"the clips were changed by others {TRIES} times in a row; try again")


def scored(clips: Dataset) -> tuple[Clip, ...]:
    """Those that experiments are judged on: without any, no run can begin."""
    return tuple(clip for clip in clips.clips if clip.role == "score")


def with_clip(clips: Dataset, clip: Clip) -> Dataset:
    """The clips and this one. Raises UserError where its name or its content is taken, or the name is none."""
    if not NAME.fullmatch(clip.name):
        raise UserError(f"{clip.name!r} is no clip's name: letters, digits, and . + - _; give another with --name")
    for other in clips.clips:
        if other.hash == clip.hash:
            raise UserError(f"this very footage is here already as {other.name} ({other.role}); "
                            f"to change its role, `aether clips remove {other.name}` first")
        if other.name == clip.name:
            raise UserError(f"there is a clip {clip.name} already, of other footage; give another with --name")
    return Dataset(clips=(*clips.clips, clip))


def without(clips: Dataset, name: str) -> Dataset:
    """Raises NotFound, naming those there are."""
    left = tuple(clip for clip in clips.clips if clip.name != name)
    if len(left) == len(clips.clips):
        known = ", ".join(clip.name for clip in clips.clips) or "none yet"
        raise NotFound(f"no clip {name!r}; here are: {known}")
    return Dataset(clips=left)


def name_for(stem: str) -> str:
    """A clip's name made from that of its file."""
    return _FOREIGN.sub("-", stem).strip("-.+")[:100] or "clip"


def _read(store: Store, hash: str | None) -> Dataset:
    return read_as(store, hash, Dataset, "clip set") if hash else Dataset(clips=())
