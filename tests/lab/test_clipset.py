"""The clips behind their pointer: two who change them at once both succeed, and nothing of either is lost."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from lab import clipset
from lab.errors import Unavailable
from lab.experiment import Clip, Dataset
from lab.local.store import FileStore


def clip(name: str) -> Clip:
    return Clip(name=name, hash=name.rjust(64, "0"), role="score")


def test_a_change_that_lost_the_race_is_made_again_on_what_the_other_left(tmp_path: Path) -> None:
    store, turns = FileStore(tmp_path), 0

    def overtaken(clips: Dataset) -> Dataset:
        nonlocal turns
        turns += 1
        if turns == 1:
            clipset.change(store, partial(clipset.with_clip, clip=clip("b")))
        return clipset.with_clip(clips, clip("a"))

    clipset.change(store, overtaken)
    assert [one.name for one in clipset.load(store).clips] == ["b", "a"]


def test_a_race_that_never_ends_is_given_up(tmp_path: Path) -> None:
    store, names = FileStore(tmp_path), (f"c{n}" for n in range(1000))

    def always_overtaken(clips: Dataset) -> Dataset:
        clipset.change(store, partial(clipset.with_clip, clip=clip(next(names))))
        return clipset.with_clip(clips, clip("a"))

    with pytest.raises(Unavailable, match="try again"):
        clipset.change(store, always_overtaken)


def test_a_change_that_changes_nothing_moves_no_pointer(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    clipset.change(store, lambda clips: clips)
    assert store.pointer(clipset.POINTER) is None


@pytest.mark.parametrize(("stem", "name"), [("drive_1080p", "drive_1080p"), ("my film (2)", "my-film-2"),
                                            ("-.x", "x"), ("Ü", "clip"), ("a" * 300, "a" * 100)])
def test_a_file_name_becomes_a_clip_name(stem: str, name: str) -> None:
    assert clipset.name_for(stem) == name
    assert clipset.NAME.fullmatch(clipset.name_for(stem))
