"""`aether clips`: footage is stored by its content, under one name, in one role."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.clips import import_clips
from lab import clipset
from lab.backend import open_backend
from lab.errors import UserError
from lab.track import load_track
from support.footage import ffmpeg, synthetic

Said = Callable[..., str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a video in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("AETHER_BACKEND", "local:lab")
    return synthetic(tmp_path / "my film.mkv", "yuv420p")


def listed(said: Said) -> list[dict[str, object]]:
    return json.loads(said("clips", "list", "--json"))["clips"]  # type: ignore[no-any-return]


def test_a_video_is_added_with_its_facts_in_the_role_asked_for(here: Path, said: Said) -> None:
    said("clips", "add", str(here), "--role", "confirm")
    (clip,) = listed(said)
    assert (clip["name"], clip["role"]) == ("my-film", "confirm")
    assert clip["facts"]["frames"] == 5  # type: ignore[index]
    assert "96×64" in said("clips", "list")


def test_several_files_are_added_at_once_or_none_of_them(here: Path, said: Said) -> None:
    other = synthetic(here.with_name("other.mkv"), "yuv420p", "64x48")
    assert "--role': 'scoring' is not one of" in said("clips", "add", str(here), "--role", "scoring", code=2)
    for words in ((str(here), "missing.mkv"), (str(here), str(other), "--name", "one")):
        said("clips", "add", *words, code=2)
    assert not here.with_name("lab").exists()
    said("clips", "add", str(here), str(other))
    assert [clip["name"] for clip in listed(said)] == ["my-film", "other"]
    third = synthetic(here.with_name("third.mkv"), "yuv420p", "32x48")
    assert "my-film" in said("clips", "add", str(third), str(here), "--role", "confirm", code=2)
    assert len(listed(said)) == 2
    assert "other (score) is here already" in said("clips", "add", str(third), str(other))
    assert [clip["name"] for clip in listed(said)] == ["my-film", "other", "third"]
    document = json.loads(said("clips", "add", str(here), "--json"))
    assert (document["schema"], [clip["name"] for clip in document["clips"]]) == (1, ["my-film"])
    assert "is a folder" in said("clips", "add", str(here.parent), code=2)


def test_a_mistake_leaves_no_laboratory_behind(here: Path, said: Said) -> None:
    Path("notes.txt").write_text("no video")
    for words in (["notes.txt"], ["gone.mp4"], [str(here), "--name", "../a"]):
        said("clips", "add", *words, code=2)
        assert not Path("lab").exists()


@pytest.mark.parametrize(("pix_fmt", "size"), [("yuv420p10le", "66x48"), ("yuv444p", "47x33")])
def test_ten_bit_and_odd_sizes_are_taken(pix_fmt: str, size: str, tmp_path: Path, here: Path, said: Said) -> None:
    said("clips", "add", str(synthetic(tmp_path / "odd.mkv", pix_fmt, size)))
    assert listed(said)[0]["facts"]["pix_fmt"] == pix_fmt  # type: ignore[index]


def test_the_same_footage_has_one_role_whatever_its_file_is_called(here: Path, said: Said) -> None:
    said("clips", "add", str(here), "--role", "train")
    copy = here.with_name("copy.mkv")
    copy.write_bytes(here.read_bytes())
    assert "here already as my-film (train)" in said("clips", "add", str(copy), "--role", "score", code=2)


def test_a_name_stands_for_one_clip(here: Path, said: Said) -> None:
    said("clips", "add", str(here), "--name", "a")
    other = synthetic(here.with_name("other.mkv"), "yuv420p", "80x64")
    assert "--name" in said("clips", "add", str(other), "--name", "a", code=2)
    assert "letters" in said("clips", "add", str(other), "--name", "../a", code=2)
    assert len(listed(said)) == 1


@pytest.mark.parametrize("content", [b"", b"no video", None], ids=["empty", "text", "missing"])
def test_what_is_no_video_is_refused_in_one_line(content: bytes | None, here: Path, said: Said) -> None:
    file = here.with_name("wrong.mp4")
    if content is not None:
        file.write_bytes(content)
    refused = said("clips", "add", str(file), code=2)
    assert refused.startswith("error: ")
    assert refused.count("\n") == 1


def test_a_file_with_sound_alone_is_refused(here: Path, said: Said) -> None:
    sound = here.with_name("sound.mka")
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", sound)
    assert "no video" in said("clips", "add", str(sound), code=2)


def test_a_removed_clip_is_gone_and_an_unknown_one_is_named(here: Path, said: Said) -> None:
    said("clips", "add", str(here))
    said("clips", "remove", "my-film")
    assert listed(said) == []
    assert "no clip 'my-film'" in said("clips", "remove", "my-film", code=2)


def test_a_clip_whose_file_was_lost_gets_it_back(here: Path, said: Said) -> None:
    said("clips", "add", str(here), "--role", "confirm")
    store = open_backend("local:lab").store
    store.remove(clipset.load(store).clips[0].hash)
    assert "missing" in said("clips", "list")
    assert "has its file again" in said("clips", "add", str(here))
    assert "missing" not in said("clips", "list")


def test_importing_twice_adds_once_and_a_taken_name_gets_a_number(here: Path) -> None:
    lab, track = open_backend("local:lab", create=True), load_track("codec")
    folder = here.with_name("more")
    folder.mkdir()
    other = synthetic(folder / here.name, "yuv420p", "80x64")
    assert len(import_clips(lab, track, [(here, "train"), (other, "score")])) == 2
    assert import_clips(lab, track, [(here, "train"), (other, "score")]) == []
    assert [clip.name for clip in clipset.load(lab.store).clips] == ["my-film", "my-film-2"]


def test_importing_in_another_role_is_refused(here: Path) -> None:
    lab, track = open_backend("local:lab", create=True), load_track("codec")
    import_clips(lab, track, [(here, "train")])
    with pytest.raises(UserError, match="here already as my-film"):
        import_clips(lab, track, [(here, "confirm")])
