"""What a deploy does with the settings: in force where nothing is, and later only told where they differ."""

from __future__ import annotations

import pytest

from agents.deployed import adopt
from agents.gather import settings_in_force
from lab.clock import SystemClock
from lab.errors import Unavailable
from lab.ledger import Ledger
from lab.local.table import SqliteTable
from lab.money import to_micro

NOW, MONTH = 1_795_996_800.0, "2026-11"  # the last day of it
FILE = "# ours\n[limits]\nexperiments = 7\n[budget]\nmonthly_usd = 30\n"


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(SqliteTable(":memory:"), SystemClock())


def deploys(ledger: Ledger, text: str = "") -> str:
    return adopt(ledger, "aws:mine", text, "500", NOW)


def test_the_first_deploy_puts_its_file_in_force_and_opens_the_month_by_it(ledger: Ledger) -> None:
    assert deploys(ledger, FILE) == "revision 1 is in force, by this deploy"
    revision = ledger.office.settings(1)
    assert revision is not None
    assert revision.text == FILE
    month = ledger.accounts.balance(MONTH)
    assert month is not None
    assert month.cap == to_micro(30.0)


def test_without_a_file_the_cap_is_the_one_that_the_deploy_names(ledger: Ledger) -> None:
    """Also where an orchestrator was there before, and opened the month with the default."""
    ledger.accounts.set_cap(MONTH, to_micro(20.0), op_id="the orchestrator's")
    deploys(ledger)
    month = ledger.accounts.balance(MONTH)
    assert month is not None
    assert (month.cap, settings_in_force(ledger).budget.monthly_usd) == (to_micro(500.0), 500.0)


def test_a_cap_that_a_person_has_set_stays(ledger: Ledger) -> None:
    ledger.accounts.set_cap(MONTH, to_micro(40.0), op_id="a person's")
    deploys(ledger, FILE)
    month = ledger.accounts.balance(MONTH)
    assert month is not None
    assert month.cap == to_micro(40.0)


def test_one_that_was_cut_off_before_its_settings_stood_is_finished_by_the_next(
        ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ledger.accounts, "set_cap", lambda *_, **__: (_ for _ in ()).throw(Unavailable("throttled")))
        with pytest.raises(Unavailable):
            deploys(ledger, FILE)
    assert not ledger.office.control().settings
    deploys(ledger, FILE)
    month = ledger.accounts.balance(MONTH)
    assert month is not None
    assert month.cap == to_micro(30.0)


def test_later_ones_change_nothing_and_tell_what_differs(ledger: Ledger) -> None:
    deploys(ledger, FILE)
    ledger.accounts.set_cap(MONTH, to_micro(40.0), op_id="a person's")
    assert deploys(ledger, FILE.replace("# ours\n", "")) == "revision 1 is in force, and says what the file says"
    assert deploys(ledger) == "revision 1 stays in force, with its cap of 30 dollars a month and not 500"
    assert deploys(ledger, FILE.replace("7", "8")) == (
        "revision 1 stays in force; `aether settings push --backend aws:mine` would change limits.experiments: 7 → 8")
    month = ledger.accounts.balance(MONTH)
    assert month is not None
    assert (month.cap, ledger.office.control().settings) == (to_micro(40.0), 1)
