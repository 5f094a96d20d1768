"""The budget guard: what it finds, writes down, closes and opens again, and whom it tells how often."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from agents.budget_guard import BY_BILL, BY_LEDGER, close, look, over_the_bill
from lab.clock import month_key
from lab.control import Control, Guarded
from lab.money import Level, to_micro
from lab.settings import parse
from support.house import House
from support.laboratory import USD
from support.reported import NOW, ReportedLab

SETTINGS = parse("[lab]\nname = \"mine\"\n")
OF_RUN = parse("[budget]\nrun_usd = 1.0\n")
MAXIMA = {"cpu": 4, "gpu": 2}
DAY_S = 86_400.0
BILL = """Dear AWS Customer,

You requested that we alert you when the ACTUAL Cost associated with your tlab-monthly-1a2b3c budget is greater than
$475.00 for the current month. The ACTUAL Cost associated with this budget is ${actual}.

Budget Name: tlab-monthly-1a2b3c
Budget Type: Cost
Budgeted Amount: $1,500.00
Alert Type: {kind}
Alert Threshold: > $1,425.00
{kind} Amount: ${actual}
"""


class Notes:
    """Fleets that only note what they are asked, and lose one instance a turn."""

    def __init__(self, instances: int = 0) -> None:
        self.instances, self.asked = instances, list[str]()

    def close(self) -> int:
        self.asked.append("close")
        left, self.instances = self.instances, max(self.instances - 1, 0)
        return left

    def open(self, maxima: Mapping[str, int]) -> None:
        assert maxima == MAXIMA
        self.asked.append("open")


class Watched:
    """A laboratory of $100 a month, and its guard."""

    def __init__(self, lab: ReportedLab) -> None:
        self.lab, self.fleets = lab, Notes()
        self.office = lab.ledger.office

    def spend(self, usd: float) -> None:
        key = self.lab.lab.reserve(self.lab.lab.queue(self.lab.proposal()), round(usd * USD))
        self.lab.lab.settle(key, round(usd * USD))

    def spend_of_run(self, usd: float) -> None:
        """Of the $1 that the run that lives may spend."""
        run = f"run-{self.office.lease().run}"  # type: ignore[union-attr]
        self.lab.lab.accounts.set_cap(run, to_micro(1.0), op_id="cap")
        self.lab.lab.accounts.reserve_overhead("hour", to_micro(usd), (run,), price_usd_h=1.0,
                                               epoch=self.lab.lab.epoch, op_id="hour")
        self.lab.lab.settle("hour", to_micro(usd))

    def look(self, *, bill: bool = False) -> tuple[Level, bool]:
        found = look(self.lab.backend, self.fleets, SETTINGS, MAXIMA, self.lab.clock.now, bill=bill)
        return found.level, found.closed

    def mails(self) -> list[str]:
        return [report.subject for report in self.office.reports(waiting=True)]


@pytest.fixture
def watched(lab: ReportedLab) -> Watched:
    return Watched(lab)


def test_it_tells_each_change_for_the_worse_once_and_writes_nothing_while_nothing_changes(watched: Watched) -> None:
    found = []
    for usd in (69.0, 2.0, 15.0, 10.0):  # 69, 71, 86 and 96 of 100
        watched.spend(usd)
        found.append(watched.look())
        stands = watched.lab.ledger.last_change()
        assert watched.look() == found[-1]
        assert watched.lab.ledger.last_change() == stands
    assert found == [("ok", False), ("medium", False), ("high", False), ("critical", True)]
    assert watched.mails() == ["mine: the budget is at 85 %", "mine: the budget is at 95 %"]
    (_, last) = watched.office.reports(waiting=True)
    assert "$96.00 of $100.00 spent" in last.text
    assert "aether budget override" in last.text


def test_a_level_that_comes_and_goes_is_mailed_once(watched: Watched) -> None:
    watched.spend(80.0)
    for usd in (6.0, 6.0):
        id = watched.lab.lab.queue(watched.lab.proposal())
        key = watched.lab.lab.reserve(id, round(usd * USD))
        fence = watched.lab.lab.claim(id)
        assert watched.look()[0] == "high"
        watched.lab.lab.release(id, fence)
        watched.lab.lab.settle(key, USD)
        assert watched.look()[0] == "medium"
    assert watched.mails() == ["mine: the budget is at 85 %"]


def test_at_the_last_level_the_ledger_says_why_nothing_new_begins(watched: Watched) -> None:
    watched.spend(96.0)
    watched.look()
    assert watched.office.control().held == BY_LEDGER
    assert watched.office.guarded() == Guarded(n=1, level="critical", caps="2026-11 $100.00", told="critical",
                                               closed=True, closed_by=("2026-11",))


def test_running_work_counts_with_what_it_will_probably_cost(watched: Watched) -> None:
    watched.spend(48.0)
    id = watched.lab.lab.queue(watched.lab.proposal())
    watched.lab.lab.reserve(id, 50 * USD)
    watched.lab.lab.claim(id)
    assert watched.look() == ("critical", True)


def test_the_end_of_the_work_that_closed_it_opens_nothing(watched: Watched) -> None:
    """Its expected cost is gone with it; the lab would start, and stop, and start again."""
    watched.spend(48.0)
    id = watched.lab.lab.queue(watched.lab.proposal())
    key = watched.lab.lab.reserve(id, 50 * USD)
    fence = watched.lab.lab.claim(id)
    assert watched.look() == ("critical", True)
    watched.lab.lab.release(id, fence)
    watched.lab.lab.settle(key, USD)
    assert watched.look() == ("critical", True)
    watched.lab.lab.accounts.set_cap(month_key(NOW), 99 * USD, op_id="another cap")
    assert watched.look() == ("ok", False)


@pytest.mark.parametrize("word", ["override", "cap", "month"])
def test_a_persons_word_or_a_new_month_takes_back_what_it_did(watched: Watched, word: str) -> None:
    watched.spend(96.0)
    watched.look()
    assert watched.fleets.asked == []
    if word == "override":
        watched.office.set_control(override_until=NOW + 3600.0, op_id="override")
    elif word == "cap":
        watched.lab.lab.accounts.set_cap(month_key(NOW), 200 * USD, op_id="raise")
    else:
        watched.lab.clock.now = NOW + 10 * DAY_S
    level, closed = watched.look()
    assert (level, closed) == ("critical" if word == "override" else "ok", False)
    assert (watched.office.control().held, watched.fleets.asked) == ("", ["open"])
    watched.look()
    assert watched.fleets.asked == ["open"], "once"
    if word == "override":
        watched.lab.clock.now = NOW + 3601.0
        assert watched.look() == ("critical", True)
        assert len(watched.mails()) == 2


def test_a_pause_of_a_person_is_no_business_of_the_guard(watched: Watched) -> None:
    watched.office.set_control(paused=True, op_id="pause")
    watched.spend(96.0)
    watched.look()
    watched.office.set_control(override_until=NOW + 3600.0, op_id="override")
    watched.look()
    assert (watched.office.control().paused, watched.office.control().held) == (True, "")


def test_a_guard_that_dies_before_it_opened_the_fleets_opens_them_at_its_next_look(watched: Watched) -> None:
    watched.spend(96.0)
    watched.look()
    watched.office.set_control(override_until=NOW + 3600.0, op_id="override")

    def dies(_: Mapping[str, int]) -> None:
        raise KeyboardInterrupt
    watched.fleets.open = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        watched.look()
    watched.fleets = Notes()
    watched.look()
    assert watched.fleets.asked == ["open"]


def test_aws_own_bill_closes_the_lab_until_its_month_is_over_or_a_person_says_so(watched: Watched) -> None:
    assert watched.look(bill=True) == ("critical", True)
    assert watched.look() == ("critical", True), "the bill is told once a month"
    assert watched.office.control().held == BY_BILL
    assert watched.mails() == [f"mine: {BY_BILL}"]
    watched.office.set_control(override_until=NOW + 60.0, op_id="override")
    assert watched.look() == ("critical", False)
    watched.lab.clock.now = NOW + 10 * DAY_S
    assert watched.look() == ("ok", False)


@pytest.mark.parametrize("quicker", ["the bill", "the schedule"])
def test_of_two_guards_at_once_none_goes_unheard(watched: Watched, quicker: str) -> None:
    watched.spend(86.0)
    control = watched.office.control

    def meanwhile() -> Control:
        watched.office.control = control  # type: ignore[method-assign]
        watched.look(bill=quicker == "the bill")
        return control()
    watched.office.control = meanwhile  # type: ignore[method-assign]
    assert watched.look(bill=quicker != "the bill") == ("critical", True)
    assert (watched.office.guarded().closed, control().held) == (True, BY_BILL)
    assert watched.mails()[-1] == f"mine: {BY_BILL}"


@pytest.mark.parametrize(("kind", "actual", "budget", "over"), [
    ("ACTUAL", "1,425.00", "tlab-monthly", True), ("ACTUAL", "1,424.99", "tlab-monthly", False),
    ("FORECASTED", "1,600.00", "tlab-monthly", False), ("ACTUAL", "1,600", "another-monthly", False),
    ("ACTUAL", "1,600", "tlab", False)])
def test_the_bill_is_read_from_the_words_of_aws(kind: str, actual: str, budget: str, over: bool) -> None:
    assert over_the_bill(BILL.format(kind=kind, actual=actual), budget) is over


def test_words_that_are_none_of_aws_mean_nothing() -> None:
    words = ("", "Budget Name: tlab-monthly-1a2b3c\n", BILL[:300])
    assert not any(over_the_bill(text, "tlab-monthly") for text in words)


def test_closing_goes_on_until_nothing_runs_and_not_for_ever(watched: Watched) -> None:
    few, many, pauses = Notes(3), Notes(1000), list[float]()
    watched.look(bill=True)
    close(watched.lab.backend, few, MAXIMA, pauses.append)
    assert (few.asked, len(pauses)) == (["close"] * 4, 3)
    close(watched.lab.backend, many, MAXIMA, pauses.append)
    assert many.instances > 0


def test_what_is_being_closed_is_left_open_where_a_person_says_so_meanwhile(watched: Watched) -> None:
    watched.fleets = Notes(3)
    watched.look(bill=True)

    def meanwhile(_: float) -> None:
        watched.office.set_control(override_until=NOW + 3600.0, op_id="override")
        watched.look()
    close(watched.lab.backend, watched.fleets, MAXIMA, meanwhile)
    assert watched.fleets.asked == ["close", "open", "close", "open"]


def test_a_daemon_starts_nothing_while_the_guard_holds_and_goes_on_afterwards(tmp_path: Path) -> None:
    """AWS's bill says stop, of which the ledger knows nothing."""
    house = House(tmp_path, parse("[designers]\nevolution = 0.0\n[limits]\nworkers = 1\n"))
    office, fleets = house.backend.ledger.office, Notes()
    look(house.backend, fleets, SETTINGS, MAXIMA, house.clock.now, bill=True)
    daemon = house.daemon()
    house.lives(daemon, minutes=5)
    assert (daemon.over, list(house.backend.ledger.all_experiments())) == (False, [])
    office.set_control(override_until=house.clock.now + 3600.0, op_id="aether budget override")
    look(house.backend, fleets, SETTINGS, MAXIMA, house.clock.now)
    house.lives(daemon, minutes=1)
    assert any(one.reservation for one in house.backend.ledger.all_experiments("queued"))


def test_the_guard_finds_the_level_that_the_daemon_finds(watched: Watched) -> None:
    """Also of a run's own budget, while that run lives."""
    watched.spend_of_run(0.9)
    assert look(watched.lab.backend, watched.fleets, OF_RUN, MAXIMA, NOW).level == "high"
    watched.office.leave_lease(watched.lab.lab.epoch, op_id="left")
    assert look(watched.lab.backend, watched.fleets, OF_RUN, MAXIMA, NOW).level == "ok"


def test_a_run_whose_budget_closed_the_lab_keeps_it_closed_until_the_next_begins(watched: Watched) -> None:
    """Its daemon drains and leaves: that is no word of a person."""
    watched.spend_of_run(0.96)
    assert look(watched.lab.backend, watched.fleets, OF_RUN, MAXIMA, NOW).closed
    watched.office.leave_lease(watched.lab.lab.epoch, op_id="left")
    assert look(watched.lab.backend, watched.fleets, OF_RUN, MAXIMA, NOW).closed
    assert (watched.fleets.asked, len(watched.mails())) == ([], 1)
    watched.office.take_lease("next", host="here", pid=2, observed=None, op_id="next")
    assert not look(watched.lab.backend, watched.fleets, OF_RUN, MAXIMA, NOW).closed
    assert (watched.fleets.asked, watched.office.control().held) == (["open"], "")
