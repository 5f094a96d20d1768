"""Fetched files kept on one machine: bounded, whole, and never taken from under an attempt."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lab.aws.cache import Cache


def kept(cache: Cache, data: bytes, age_s: float = 0.0) -> tuple[str, Path]:
    hash = hashlib.sha256(data).hexdigest()
    with cache.aside() as aside:
        aside.write_bytes(data)
        path = cache.keep(hash, aside)
    if age_s:
        os.utime(path, times=(path.stat().st_mtime - age_s,) * 2)
    return hash, path


def test_what_is_kept_is_found_and_cannot_be_written_by_accident(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    hash, path = kept(cache, b"clip")
    assert cache.found(hash) == path
    assert path.stat().st_mode & 0o222 == 0
    cache.forget(hash)
    assert cache.found(hash) is None


def test_what_has_gone_bad_is_not_found_and_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    hash, path = kept(cache, b"clip")
    path.chmod(0o600)
    path.write_bytes(b"clap")
    assert cache.found(hash) is None
    assert not path.exists()


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=250, in_use_s=60)
    (first, oldest), (_, older) = (kept(cache, bytes([n]) * 100, age_s=1000 - n) for n in (1, 2))
    assert cache.found(first) == oldest  # used now, and so the youngest
    kept(cache, b"3" * 100)
    assert (oldest.exists(), older.exists()) == (True, False)


def test_what_was_used_lately_stays_beyond_the_bound(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=150, in_use_s=3600)
    paths = [kept(cache, bytes([n]) * 100)[1] for n in range(4)]
    assert all(path.exists() for path in paths)


def test_a_write_that_failed_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def cut_short() -> None:
        with cache.aside() as aside:
            aside.write_bytes(b"half")
            raise OSError("the line was cut")
    with pytest.raises(OSError, match="the line was cut"):
        cut_short()
    assert list(tmp_path.iterdir()) == []
