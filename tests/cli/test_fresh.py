"""A laboratory that is made for a command that fails goes again, and takes along nothing that is somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.fresh import made_for
from cli.output import open_lab
from lab.errors import NotFound, UserError


def fails(address: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """A command that has stored something before it finds a mistake."""
    def run() -> None:
        with made_for(address) as lab:
            lab.store.put_bytes(b"a clip")
            meanwhile()
            raise UserError("no video")
    with pytest.raises(UserError, match="no video"):
        run()


def test_one_made_in_vain_is_gone_with_the_folders_above_it(tmp_path: Path) -> None:
    fails(f"local:{tmp_path}/new/deep/lab")
    assert list(tmp_path.iterdir()) == []


def test_one_that_another_command_has_found_meanwhile_stays(tmp_path: Path) -> None:
    address = f"local:{tmp_path}/lab"

    def another() -> None:
        with made_for(address) as lab:
            lab.store.swap("clips", None, lab.store.put_bytes(b"theirs"))
    fails(address, another)
    store = open_lab(address).store
    pointed = store.pointer("clips")
    assert pointed is not None
    assert store.read(pointed) == b"theirs"
    fails(address)
    assert open_lab(address).store.pointer("clips") == pointed


@pytest.mark.parametrize("place", ["mine", "new/lab"])
def test_what_somebody_puts_beside_it_meanwhile_stays(tmp_path: Path, place: str) -> None:
    (tmp_path / "mine").mkdir()
    fails(f"local:{tmp_path / place}", lambda: _write(tmp_path / place / "thesis.tex"))
    assert [path.name for path in (tmp_path / place).iterdir()] == ["thesis.tex"]


def _write(path: Path) -> None:
    path.write_text("a year's work")


def test_one_that_a_command_went_well_for_stays_and_bears_no_mark(tmp_path: Path) -> None:
    with made_for(f"local:{tmp_path}/lab"):
        pass
    assert open_lab(f"local:{tmp_path}/lab").ledger.last_change() == 0
    assert not list((tmp_path / "lab").glob(".fresh"))


def test_what_cannot_be_made_is_told_as_opening_it_tells(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    with pytest.raises(UserError, match="is a Python package"), made_for(f"local:{tmp_path}"):
        pass


def test_none_is_made_on_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(address: str, *, create: bool = False) -> None:
        raise NotFound(f"no laboratory at {address}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cli.fresh.open_lab", absent)
    with pytest.raises(NotFound), made_for("aws:lab-1"):
        pass
    assert list(tmp_path.iterdir()) == []
