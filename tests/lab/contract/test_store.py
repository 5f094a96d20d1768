"""Files by their hash: whole or not there at all, checked on every read; pointers move one at a time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lab.backend import Store
from lab.errors import Conflict, Damaged, NotFound, UserError
from lab.local.store import FileStore

CLIP = b"a clip" * 1000
HASH = hashlib.sha256(CLIP).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Store:
    return FileStore(folder)


def test_bytes_come_back_under_their_hash(store: Store) -> None:
    assert store.put_bytes(CLIP) == HASH
    assert (store.read(HASH), store.has(HASH)) == (CLIP, True)


def test_a_file_comes_back_as_a_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(CLIP)
    assert store.put(tmp_path / "clip.mp4") == HASH
    assert store.fetch(HASH).read_bytes() == CLIP


def test_the_same_bytes_are_kept_once(store: Store) -> None:
    assert store.put_bytes(CLIP) == store.put_bytes(CLIP)
    assert [(hash, size) for hash, size, _ in store.hashes()] == [(HASH, len(CLIP))]


def test_what_is_not_there_says_what_to_do(store: Store) -> None:
    assert not store.has(HASH)
    for ask in (store.read, store.fetch):
        with pytest.raises(NotFound, match="aether reproduce"):
            ask(HASH)


@pytest.mark.parametrize("hurt", [lambda data: b"b" + data[1:], lambda data: data[:-1], lambda data: b""])
def test_damage_is_found_at_every_read(store: Store, folder: Path, hurt: object) -> None:
    store.put_bytes(CLIP)
    path = folder / "objects" / HASH[:2] / HASH[2:]
    path.write_bytes(hurt(CLIP))  # type: ignore[operator]
    for ask in (store.read, store.fetch):
        with pytest.raises(Damaged, match="does not match its hash"):
            ask(HASH)


def test_what_is_removed_is_gone_and_can_be_put_again(store: Store) -> None:
    store.put_bytes(CLIP)
    store.remove(HASH)
    store.remove(HASH)
    assert (store.has(HASH), list(store.hashes())) == (False, [])
    assert store.read(store.put_bytes(CLIP)) == CLIP


def test_a_sweep_takes_what_is_old_and_leaves_what_was_stored_again(store: Store, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(CLIP)
    for put_again in (lambda: store.put_bytes(CLIP), lambda: store.put(tmp_path / "clip.mp4")):
        put_again()
        age(store, 100.0)
        old = modified(store)
        put_again()
        assert not store.retire(HASH, before=old + 50.0)
        assert store.read(HASH) == CLIP
    assert store.retire(HASH, before=modified(store))
    assert not store.has(HASH)
    assert not store.retire(HASH, before=1e12)


def modified(store: Store) -> float:
    return next(at for _, _, at in store.hashes())


def age(store: Store, seconds: float) -> None:
    os.utime(store.fetch(HASH), times=(modified(store) - seconds,) * 2)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", HASH.upper(), HASH + "0", "0" * 63])
def test_only_a_hash_names_a_file(store: Store, name: str) -> None:
    with pytest.raises(UserError, match="no SHA-256"):
        store.read(name)


@pytest.mark.parametrize("name", ["../objects", "", "A", ".hidden", "a/b"])
def test_only_a_plain_name_is_a_pointer(store: Store, name: str) -> None:
    with pytest.raises(UserError, match="no pointer's name"):
        store.swap(name, None, HASH)


def test_a_pointer_is_moved_by_whoever_saw_where_it_was(store: Store) -> None:
    other = "1" * 64
    assert store.pointer("champion") is None
    store.swap("champion", None, HASH)
    for stale in (None, other):
        with pytest.raises(Conflict):
            store.swap("champion", stale, other)
    assert store.pointer("champion") == HASH
    store.swap("champion", HASH, other)
    assert store.pointer("champion") == other
