"""What the attendant of a run tells, over a real ledger."""

from __future__ import annotations

from pathlib import Path

from cli.attend import Attendant
from cli.live import RunLine
from cli.run import Plan
from cli.watch import Watch
from lab.local.backend import open_local


class Noting:
    ending = "nothing was shown"

    def show(self, watch: Watch, ended: list[str], run: RunLine) -> None:
        self.ending = run.ending


def test_a_stop_that_was_said_to_an_earlier_run_is_no_word_about_this_one(tmp_path: Path) -> None:
    backend, screen = open_local(tmp_path / "lab", create=True), Noting()
    (tmp_path / "logs").mkdir()
    office = backend.ledger.office
    office.set_control(stop="now", op_id="Ctrl-C of the last run")
    attendant = Attendant(backend, Plan(backend=backend.address, text="", base=tmp_path), tmp_path / "logs")
    attendant.look(screen, told=False)
    assert screen.ending == ""
    office.set_control(stop="", op_id="our daemon")
    attendant.look(screen, told=False)
    office.set_control(stop="drain", op_id="aether stop")
    attendant.look(screen, told=False)
    assert screen.ending == "ending"
