"""A person's word, the money and the settings: said once, they stand in the ledger."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.budget import money
from cli.settings import changes
from lab.backend import Backend, open_backend
from lab.control import Guarded
from lab.money import Bill, Entry
from lab.settings import Settings, parse

Said = Callable[..., str]


def here() -> Backend:
    return open_backend("local:lab")


def test_pause_resume_and_stop_are_what_the_daemon_reads(lab: Path, said: Said) -> None:
    for words, paused, stop in ((["pause"], True, ""), (["resume"], False, ""), (["stop"], False, "drain"),
                                (["stop", "--now"], False, "now")):
        told = said(*words)
        control = here().ledger.office.control()
        assert (control.paused, control.stop) == (paused, stop)
        assert "no daemon runs here" in told
    assert json.loads(said("pause", "--json"))["paused"] is True


def test_the_months_cap_is_set_at_once_and_shown(lab: Path, said: Said) -> None:
    spent = json.loads(said("budget", "show", "--json"))["budgets"][0]["spent"]
    said("budget", "set", "7.5")
    (month,) = json.loads(said("budget", "show", "--json"))["budgets"]
    assert (month["cap"], month["spent"], month["free"]) == (7_500_000, spent, 7_500_000 - spent)
    told = said("budget", "show")
    assert "$7.50" in told
    assert " for attempts" in told
    assert "Projected month's end" in told


def test_the_bill_of_an_account_stands_beside_what_was_booked(lab: Path, said: Said) -> None:
    ledger = here().ledger
    epoch = ledger.office.take_lease("teller", host="", pid=0, observed=None, op_id="take")
    ledger.accounts.note_bill(Bill(first="2026-01-01", end="2026-01-31", by_service={"Amazon EC2": 3_000_000}),
                              epoch=epoch, op_id="bill")
    ledger.office.leave_lease(epoch, op_id="leave")
    told = " ".join(said("budget", "show").split())
    assert "Billed by AWS from 2026-01-01 to 2026-01-30: $3.00 (Amazon EC2 $3.00)" in told
    assert json.loads(said("budget", "show", "--json"))["reconciliation"]["booked"] == 0
    assert "billed by AWS from 2026-01-01" in " ".join(said("report", "--now").split())


def test_a_cap_below_what_is_spent_says_that_nothing_new_starts(lab: Path, said: Said) -> None:
    assert "nothing new starts" in said("budget", "set", "0.000001")
    assert "nothing new starts" in said("budget", "set", "0")


@pytest.mark.parametrize(("words", "says"), [
    (["set", "-3"], "error: -3 is no budget: it is 0 or more USD, such as `aether budget set 20`\n"),
    (["set", "nan"], "error: nan is no budget: it is 0 or more USD, such as `aether budget set 20`\n"),
    (["override", "-1"], "error: -1 is no time for an override; give hours, such as `aether budget override 6`, or 0"),
    (["set", "--jsn"], "error: Invalid value for 'USD': "),
])
def test_a_number_below_zero_is_taken_for_a_number_and_refused(
        words: list[str], says: str, lab: Path, said: Said) -> None:
    assert said("budget", *words, code=2).startswith(says)


def test_an_override_of_the_budgets_levels_is_in_force_told_and_taken_back(lab: Path, said: Said) -> None:
    since = time.time()
    assert "its caps still do" in " ".join(said("budget", "override", "6").split())
    until = here().ledger.office.control().override_until
    assert 6 * 3600 <= until - since < 6 * 3600 + 60
    assert "levels overridden until" in said("status")
    assert json.loads(said("status", "--json"))["override_until"] == until
    assert "a person has overridden the levels of the budget until" in " ".join(said("report", "--now").split())
    assert "count again" in said("budget", "override", "0")
    assert json.loads(said("status", "--json"))["override_until"] == 0.0
    assert "give hours" in said("budget", "override", "1000", code=2)


def test_settled_entries_are_counted_by_hour_day_and_month() -> None:
    now = 1_700_000_000.0  # 14 November 2023, 22:13 UTC
    ages = {"a": 60, "b": 2 * 3600, "c": 3 * 86400, "d": 30 * 86400}
    entries = [Entry(key=key, amount=10 ** n, budgets=(), what="attempt", at=now - age)
               for n, (key, age) in enumerate(ages.items())]
    found = money((), entries, now)
    assert (found.last_hour, found.last_day, found.by_what) == (1, 11, {"attempt": 111})
    assert found.month_end == 111 + round(11 * 16.074)  # sixteen days and a bit are left of November
    assert found.reconciliation is None


def test_a_pushed_file_is_a_new_revision_and_the_same_file_is_not(lab: Path, said: Said) -> None:
    before = here().ledger.office.control().settings
    (lab / "aether.toml").write_text((lab / "aether.toml").read_text().replace("lease_s = 3.0", "lease_s = 4.0"))
    assert "limits.lease_s: 3.0 → 4.0" in said("settings", "diff")
    assert here().ledger.office.control().settings == before
    told = said("settings", "push")
    assert "limits.lease_s: 3.0 → 4.0" in told
    assert f"revision {before + 1} is in force" in told
    assert json.loads(said("settings", "push", "--json")) == {
        "schema": 1, "revision": before + 1, "changed": []}


def test_a_cap_that_is_pushed_is_of_the_months_to_come_and_that_is_said(lab: Path, said: Said) -> None:
    rest = (lab / "aether.toml").read_text()
    (lab / "aether.toml").write_text(f"[budget]\nmonthly_usd = 33\n{rest}")
    assert "this month's cap stays $20.00; `aether budget set 33` changes it" in said("settings", "push")
    said("budget", "set", "34")
    (lab / "aether.toml").write_text(f"[budget]\nmonthly_usd = 34\n{rest}")
    assert "this month's cap" not in said("settings", "push")


def test_a_list_that_changes_is_shown_by_what_came_and_went(lab: Path, said: Said) -> None:
    (lab / "aether.toml").write_text('[designers]\nfamilies = ["line"]\n' + (lab / "aether.toml").read_text())
    assert "designers.families:\n  +line\n" in said("settings", "diff")


def test_the_settings_in_force_can_be_shown_whole_and_earlier_ones_too(lab: Path, said: Said) -> None:
    shown = json.loads(said("settings", "show", "--json"))
    assert shown["settings"]["limits"]["experiments"] == 4
    assert shown["settings"]["designers"]["control_share"] == 0.15
    assert tomllib.loads(said("settings", "show"))["lab"]["name"] == "curves"
    said("settings", "push")
    assert "experiments = 4" in said("settings", "show", "--revision", "1")
    assert "no settings revision 99" in said("settings", "show", "--revision", "99", code=2)


def test_settings_that_are_wrong_are_refused_and_nothing_is_pushed(lab: Path, said: Said) -> None:
    before = here().ledger.office.control().settings
    (lab / "aether.toml").write_text("[limits]\nminutes = -3\n")
    assert "aether.toml:2" in said("settings", "push", code=2)
    for named in ('families = ["cubic"]', "pinned = { cubic = { degree = 3 } }"):
        (lab / "aether.toml").write_text(f'[lab]\ntrack = "curve"\n[designers]\n{named}\n')
        assert "has no family 'cubic'" in said("settings", "push", code=2)
    assert here().ledger.office.control().settings == before
    assert "`aether init` writes one" in said("settings", "push", "gone.toml", code=2)


def test_only_values_count_as_a_difference() -> None:
    assert changes(Settings(), parse("# a comment\n[limits]\nworkers = 1\n")) == {}
    goal = '[[goals]]\nmetric = "bitrate_mbps"\nrelation = "<="\nvalue = 2.0\n'
    assert set(changes(Settings(), parse(goal))) == {"goals"}


def test_init_writes_a_file_that_is_every_default_and_never_over_another(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    monkeypatch.chdir(tmp_path)
    assert "aether.toml" in said("init")
    assert parse((tmp_path / "aether.toml").read_text()) == Settings()
    assert "--force replaces it" in said("init", code=2)
    said("init", "--force")
    said("init", "elsewhere")
    assert (tmp_path / "elsewhere/aether.toml").exists()


def test_a_hold_of_the_budget_guard_is_seen_and_a_person_is_told_what_lifts_it(lab: Path, said: Said) -> None:
    here().ledger.office.guard(Guarded(n=1, level="critical", closed=True), "the budget is at 95 %", None,
                               op_id="guard.1")
    assert json.loads(said("status", "--json"))["held"] == "the budget is at 95 %"
    assert "held by the budget guard: the budget is at 95 %" in said("status")
    assert "aether budget override" in said("resume")
