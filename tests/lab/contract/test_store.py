"""Files by their hash: whole or not there at all, checked on every read; pointers move one at a time."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from lab.aws.cache import Cache
from lab.aws.clients import s3
from lab.aws.store import S3Store
from lab.backend import Store
from lab.errors import Conflict, Damaged, NotFound, UserError
from lab.local.store import FileStore
from support.account import Account

CLIP = b"a clip" * 1000
HASH = hashlib.sha256(CLIP).hexdigest()


class Place(NamedTuple):
    """A store, and what a test does to it behind its back. `hurt` puts other bytes in a file's place, `ages` makes
    what is there look so many seconds older."""

    store: Store
    hurt: Callable[[str, bytes], None]
    ages: Callable[[float], None]


def _files(folder: Path) -> Place:
    store = FileStore(folder)

    def ages(seconds: float) -> None:
        for hash, _, modified in store.hashes():
            os.utime(folder / "objects" / hash[:2] / hash[2:], times=(modified - seconds,) * 2)
    return Place(store, lambda hash, data: _write(folder / "objects" / hash[:2] / hash[2:], data), ages)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _s3(account: Account, folder: Path) -> Place:
    """Ages by waiting: nobody sets S3's clock."""
    names = account.deploy()
    client = s3(**account.endpoint.settings)

    def hurt(hash: str, data: bytes) -> None:
        client.put_object(Bucket=names.bucket, Key=f"objects/{hash[:2]}/{hash[2:]}", Body=data)
    return Place(S3Store(client, names.bucket, Cache(folder)), hurt, time.sleep)


@pytest.fixture(params=["files", pytest.param("s3", marks=pytest.mark.ci)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "files":
        return _files(tmp_path / "store")
    return _s3(request.getfixturevalue("account"), tmp_path / "store")


@pytest.fixture
def store(place: Place) -> Store:
    return place.store


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
def test_damage_is_found_at_every_read(place: Place, hurt: Callable[[bytes], bytes]) -> None:
    place.store.put_bytes(CLIP)
    place.hurt(HASH, hurt(CLIP))
    for ask in (place.store.read, place.store.fetch):
        with pytest.raises(Damaged, match="does not match its hash"):
            ask(HASH)


def test_what_is_removed_is_gone_and_can_be_put_again(store: Store) -> None:
    store.put_bytes(CLIP)
    store.remove(HASH)
    store.remove(HASH)
    assert (store.has(HASH), list(store.hashes())) == (False, [])
    assert store.read(store.put_bytes(CLIP)) == CLIP


def test_a_sweep_takes_what_is_old_and_leaves_what_was_stored_again(place: Place, tmp_path: Path) -> None:
    store = place.store
    (tmp_path / "clip.mp4").write_bytes(CLIP)
    for put_again in (lambda: store.put_bytes(CLIP), lambda: store.put(tmp_path / "clip.mp4")):
        put_again()
        place.ages(3.0)
        old = modified(store)
        put_again()
        assert not store.retire(HASH, before=old + 1.5)
        assert store.read(HASH) == CLIP
    assert store.retire(HASH, before=modified(store))
    assert not store.has(HASH)
    assert not store.retire(HASH, before=1e12)
    assert store.read(store.put_bytes(CLIP)) == CLIP


def modified(store: Store) -> float:
    return next(at for _, _, at in store.hashes())


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


def test_one_of_many_who_move_a_pointer_wins(store: Store) -> None:
    def swapped(me: int) -> bool:
        try:
            store.swap("champion", None, f"{me:064x}")
        except Conflict:
            return False
        return True
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(swapped, range(8)))
    assert sum(won) == 1
    assert store.pointer("champion") == f"{won.index(True):064x}"
