"""Objects of our own in the store: what is something else is told as damaged, whatever its bytes are."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import bundle, clipset, sweep
from lab.canonical import canonical_json
from lab.errors import Damaged, NotFound
from lab.experiment import Clip, Dataset
from lab.local.store import FileStore
from lab.objects import read_as

CLIPS = Dataset(clips=(Clip(name="a", hash="0" * 64, role="score"),))
OTHERS = {"no JSON": b"hello", "no text": b'{"clips": ["\xff"]}', "another shape": b'{"clips": 3}', "cut": b'{"cl',
          "too deep": b"[" * 100_000}


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path)


def test_an_object_is_read_as_what_it_is(store: FileStore) -> None:
    assert read_as(store, store.put_bytes(canonical_json(CLIPS)), Dataset, "clip set") == CLIPS
    with pytest.raises(NotFound):
        read_as(store, "0" * 64, Dataset, "clip set")


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_one_that_is_another_thing_is_named_in_one_line_with_what_to_do(store: FileStore, data: bytes) -> None:
    hash = store.put_bytes(data)
    with pytest.raises(Damaged, match=f"the object {hash[:12]} of the store is no clip set") as told:
        read_as(store, hash, Dataset, "clip set")
    assert "`aether doctor` says what is damaged" in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(Damaged, match="no code bundle"):
        bundle.read(store, hash)
    assert sweep.footage_of(store)(hash) == []
    store.swap(clipset.POINTER, None, hash)
    with pytest.raises(Damaged, match="no clip set"):
        clipset.load(store)


def test_a_pointer_that_is_no_text_is_damaged(store: FileStore, tmp_path: Path) -> None:
    store.swap("clips", None, "0" * 64)
    (tmp_path / "pointers" / "clips").write_bytes(b"\xff\xfe")
    with pytest.raises(Damaged, match="pointers/clips is damaged"):
        store.pointer("clips")
