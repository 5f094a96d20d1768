"""A laboratory of the tiny curve track, run once by the real command, and ways to give commands in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.main import run_command
from support.commands import command, write_laboratory
from support.curve import INSTALLED


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with the laboratory of one whole run, and the summary that the run printed."""
    folder = tmp_path_factory.mktemp("finished")
    write_laboratory(folder)
    ran = command(folder, "run", "--experiments", "4", "--seed", "1", "--json")
    assert ran.returncode == 0, ran.stderr
    return folder, json.loads(ran.stdout)


@pytest.fixture
def lab(finished: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that laboratory to do as one likes with; the test stands in its folder, the track is installed."""
    shutil.copytree(finished[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.syspath_prepend(str(INSTALLED))
    monkeypatch.delenv("AETHER_BACKEND", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "copy"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Give a command here; gives what it printed, after checking its exit code."""
    def give(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        ended = run_command(words)
        out, err = capsys.readouterr()
        assert ended == code, err or out
        return out if code == 0 else err
    return give
