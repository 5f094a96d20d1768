"""What boxes import is compiled beforehand, once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_workers.sandbox.bytecode import compile_needs
from lab.track import Family


def track(*needs: str) -> Any:
    return SimpleNamespace(families=(Family(name="learned", space=(), needs=needs),))


def test_a_library_is_compiled_the_first_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "needed_by_boxes"
    package.mkdir()
    (package / "__init__.py").write_text("from needed_by_boxes import inner\n")
    (package / "inner.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    assert compile_needs([track("needed_by_boxes")]) == ["needed_by_boxes"]
    assert len(list(package.glob("__pycache__/inner.*.pyc"))) == 1
    assert compile_needs([track("needed_by_boxes")]) == []


def test_what_is_not_installed_is_no_need() -> None:
    assert compile_needs([track("no_such_library_anywhere")]) == []
