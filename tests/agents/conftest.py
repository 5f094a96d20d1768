"""Laboratories to report on."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.reported import ReportedLab


@pytest.fixture
def lab(tmp_path: Path) -> ReportedLab:
    return ReportedLab(tmp_path / "lab")
