"""Settings that are pushed while a daemon runs are taken up if they are sound, and end nothing if they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.settings import parse
from support.house import House

GOAL = '[[goals]]\nmetric = "beauty_pct"\nrelation = ">="\nvalue = 1.0\n'


@pytest.mark.parametrize("text", ['[designers]\nfamilies = ["cubic"]\n', "[nonsense]\n", GOAL],
                         ids=["a family that is none", "a table that is none", "a metric that is none"])
def test_a_daemon_goes_on_under_its_old_settings_where_those_that_are_pushed_are_not_sound(
        tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    house = House(tmp_path, parse("[designers]\nevolution = 0.0\n"))
    daemon = house.daemon()
    house.lives(daemon, minutes=1)
    house.backend.ledger.office.push_settings(text, op_id="push")
    house.lives(daemon, minutes=1)
    assert not daemon.over
    assert "not sound; going on with the old ones" in capsys.readouterr().out
