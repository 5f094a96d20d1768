"""The implementations that the one contract suite runs against."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from lab.local.table import SqliteTable
from lab.table import Table
from support.laboratory import Laboratory
from support.tables import LosesReplies, Place

SERVERS = {"dynamodb-local": "dynamodb_local", "ministack": "emulator"}
CLOUD = [pytest.param(name, marks=pytest.mark.ci) for name in SERVERS]


def _place(request: pytest.FixtureRequest, folder: Path) -> Place:
    if request.param == "sqlite-memory":
        return Place(":memory:")
    if request.param == "sqlite-file":
        return Place(str(folder / "ledger.db"))
    place = Place(f"ledger-{uuid4().hex[:12]}", request.getfixturevalue(SERVERS[request.param]))
    place.create()
    return place


@pytest.fixture(params=["sqlite-file", "sqlite-memory", *CLOUD])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    return _place(request, tmp_path).open()


@pytest.fixture(params=["sqlite-file", *CLOUD])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """One that several processes open at once."""
    return _place(request, tmp_path)


@pytest.fixture
def lab(table: Table) -> Laboratory:
    return Laboratory(table)


@pytest.fixture
def bad_line(table: Table) -> LosesReplies:
    return LosesReplies(table)


@pytest.fixture
def lab_on_bad_line(bad_line: LosesReplies) -> Laboratory:
    return Laboratory(bad_line)


@pytest.fixture
def database(tmp_path: Path) -> SqliteTable:
    return SqliteTable(tmp_path / "ledger.db")
