"""What the kernel is asked when something is written, for those who must know that it is on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from stat import S_ISDIR

import pytest

import lab.files

Call = tuple[str, str, int]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """In order: (fsync | replace, the file's name, its bytes by then; 0 for a folder)."""
    seen: list[Call] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        facts = os.fstat(descriptor)
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        seen.append(("fsync", name, 0 if S_ISDIR(facts.st_mode) else facts.st_size))
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        seen.append(("replace", target.name, source.stat().st_size))
        replace(source, target)

    monkeypatch.setattr(lab.files.os, "fsync", noted_fsync)
    monkeypatch.setattr(lab.files.os, "replace", noted_replace)
    return seen
