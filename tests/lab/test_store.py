"""How the file store writes: aside, on the disk, then under its name; a death in between leaves nothing to be seen."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.errors import Conflict, Unavailable
from lab.files import SystemFiles
from lab.local.store import ASIDE, FileStore


class Torn(Exception):
    """The power went."""


class Recorder(SystemFiles):
    """The real file system, which notes each step, and may lose the power at one, with half of a write on the disk."""

    def __init__(self, die_at: str = "") -> None:
        self.steps: list[tuple[str, str]] = []
        self._die_at = die_at

    def write(self, path: Path, data: bytes) -> None:
        if self._die_at == "write":
            super().write(path, data[: len(data) // 2])
            raise Torn
        super().write(path, data)
        self.steps.append(("write", path.name))

    def replace(self, source: Path, target: Path) -> None:
        if self._die_at == "replace":
            raise Torn
        super().replace(source, target)
        self.steps.append(("replace", target.name))

    def remove(self, path: Path) -> None:
        if self._die_at:
            raise Torn  # nobody cleans up after a power cut
        super().remove(path)


class NeverWhole(SystemFiles):
    """The real file system, on which no file is read into memory."""

    def read(self, path: Path) -> bytes:
        raise AssertionError(f"{path} was read whole")


def test_a_file_that_is_larger_than_memory_can_be_stored_and_fetched(tmp_path: Path) -> None:
    store, film = FileStore(tmp_path / "store", NeverWhole()), tmp_path / "film"
    film.write_bytes(b"frame" * 700_000)  # more than one piece
    hash = store.put(film)
    assert hash == hashlib.sha256(film.read_bytes()).hexdigest()
    assert store.fetch(hash).read_bytes() == film.read_bytes()
    assert store.leftovers() == []


def test_what_is_stored_again_while_a_sweep_takes_it_stays(tmp_path: Path) -> None:
    """The worst moment: after the sweep has looked at its age, and before it takes it away."""
    class Meanwhile(SystemFiles):
        def replace(self, source: Path, target: Path) -> None:
            if target.name.startswith(ASIDE):
                assert FileStore(tmp_path).put_bytes(b"a clip") == hash
            super().replace(source, target)

    hash = FileStore(tmp_path).put_bytes(b"a clip")
    path = FileStore(tmp_path).fetch(hash)
    os.utime(path, times=(1000.0, 1000.0))
    assert not FileStore(tmp_path, Meanwhile()).retire(hash, before=2000.0)
    assert FileStore(tmp_path).read(hash) == b"a clip"


def test_bytes_are_on_the_disk_before_they_have_their_name_and_the_name_before_we_return(
        tmp_path: Path, calls: list[tuple[str, str, int]]) -> None:
    hash = FileStore(tmp_path).put_bytes(b"weights")
    (first, aside, size), *rest = calls
    assert (first, aside[:len(ASIDE)], size) == ("fsync", ASIDE, 7)
    assert rest == [("replace", hash[2:], 7), ("fsync", hash[:2], 0)]


def test_a_copied_file_is_on_the_disk_before_it_has_its_name_too(
        tmp_path: Path, calls: list[tuple[str, str, int]]) -> None:
    film = tmp_path / "film"
    film.write_bytes(b"frame" * 209_716)  # one piece, and four bytes that wait for their flush
    hash = FileStore(tmp_path / "store").put(film)
    (first, aside, size), *rest = calls
    assert (first, aside[:len(ASIDE)], size) == ("fsync", ASIDE, 1_048_580)
    assert rest == [("replace", hash[2:], 1_048_580), ("fsync", hash[:2], 0)]


def test_a_pointer_is_written_with_the_same_care(tmp_path: Path, calls: list[tuple[str, str, int]]) -> None:
    FileStore(tmp_path).swap("champion", None, "0" * 64)
    assert [(step, size) for step, _, size in calls] == [("fsync", 64), ("replace", 64), ("fsync", 0)]


@pytest.mark.parametrize("die_at", ["write", "replace"])
def test_a_torn_write_leaves_nothing_visible_and_the_sweep_sees_its_leftover(tmp_path: Path, die_at: str) -> None:
    with pytest.raises(Torn):
        FileStore(tmp_path, Recorder(die_at)).put_bytes(b"weights" * 100)
    after = FileStore(tmp_path)
    assert list(after.hashes()) == []
    assert len(after.leftovers()) == 1
    assert after.read(after.put_bytes(b"weights" * 100)) == b"weights" * 100


@pytest.mark.parametrize("die_at", ["write", "replace"])
def test_a_torn_swap_leaves_the_pointer_where_it_was(tmp_path: Path, die_at: str) -> None:
    FileStore(tmp_path).swap("champion", None, "0" * 64)
    with pytest.raises(Torn):
        FileStore(tmp_path, Recorder(die_at)).swap("champion", "0" * 64, "1" * 64)
    assert FileStore(tmp_path).pointer("champion") == "0" * 64


def test_a_write_that_fails_cleans_up_after_itself(tmp_path: Path) -> None:
    class Full(SystemFiles):
        def replace(self, source: Path, target: Path) -> None:
            raise Unavailable("the disk is full; free some space")

    store = FileStore(tmp_path, Full())
    with pytest.raises(Unavailable):
        store.put_bytes(b"weights")
    assert store.leftovers() == []


def test_what_is_stored_already_is_not_written_again(tmp_path: Path) -> None:
    files = Recorder()
    store = FileStore(tmp_path, files)
    store.put_bytes(b"weights")
    before = list(files.steps)
    store.put_bytes(b"weights")
    assert files.steps == before


def _swap(folder: Path, me: int) -> bool:
    store = FileStore(folder)
    try:
        store.swap("champion", None, f"{me:064x}")
        return True
    except Conflict:
        return False


def test_one_of_many_swaps_wins(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda me: _swap(tmp_path, me), range(8)))
    assert sum(won) == 1
    assert FileStore(tmp_path).pointer("champion") == f"{won.index(True):064x}"


def test_two_processes_that_put_the_same_bytes_both_succeed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    data = os.urandom(200_000)
    putters = [context.Process(target=FileStore(tmp_path).put_bytes, args=(data,)) for _ in range(2)]
    for putter in putters:
        putter.start()
    for putter in putters:
        putter.join(60)
    assert [putter.exitcode for putter in putters] == [0, 0]
    assert [size for _, size, _ in FileStore(tmp_path).hashes()] == [200_000]


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way")
    with pytest.raises(Unavailable, match=str(tmp_path)):
        FileStore(tmp_path).put_bytes(b"weights")
