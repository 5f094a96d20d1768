"""A report is gathered from the ledger alone: who is best and how far to believe it, what ran, what it cost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from msgspec.structs import replace

from agents.data import ReportData
from agents.gather import gather
from agents.standing import reserves
from agents.upcoming import upcoming
from gpu_workers.codec.spec import TRACK
from lab.control import Idea
from lab.ledger import PAGE
from lab.settings import Settings
from support.laboratory import CRASH, HARNESS_FAULT, USD, experiment
from support.reported import NOW, ReportedLab


def gathered(lab: ReportedLab) -> ReportData:
    return gather(lab.backend, TRACK, lab.clock.now, "asked")


def test_an_empty_lab_can_be_reported(lab: ReportedLab) -> None:
    data = gathered(lab)
    assert data.best is None
    assert data.rows == ()
    assert data.money.projected is None


def test_the_best_is_the_one_that_was_confirmed_and_who_outranks_it_is_named(lab: ReportedLab) -> None:
    believed = lab.measured(0.9, 37.0)
    lab.confirm(believed)
    better = lab.measured(0.5, 37.0)
    data = gathered(lab)
    assert data.best is not None
    assert (data.best.id, data.best.standing.status, data.challenger) == (believed, "confirmed", better)
    assert [run.state for run in data.best.confirmations] == ["passed"] * 3


def test_a_refuted_leader_is_told_and_the_next_best_leads(lab: ReportedLab) -> None:
    lucky, honest = lab.measured(0.5, 37.0), lab.measured(0.9, 37.5, ssim=0.98)
    lab.confirm(lucky, verdict="partial")
    data = gathered(lab)
    assert data.best is not None
    assert data.best.id == honest
    assert data.refuted == (lucky,)


def test_the_only_result_is_shown_even_when_it_was_refuted(lab: ReportedLab) -> None:
    lucky = lab.measured(0.5, 37.0)
    lab.confirm(lucky, verdict="partial")
    data = gathered(lab)
    assert data.best is not None
    assert (data.best.id, data.best.standing.status) == (lucky, "refuted")


def test_the_best_carries_what_the_anchors_tell_of_it(lab: ReportedLab) -> None:
    lab.measured(0.9, 37.0)
    pending = gathered(lab).best
    assert pending is not None
    assert pending.scores.mean["saving_x265_pct"] is None
    assert pending.scores.why["saving_x265_pct"].startswith("pending")
    lab.anchors()
    told = gathered(lab).best
    assert told is not None
    assert told.scores.mean["saving_x265_pct"] is not None


def test_the_front_holds_only_what_ran_on_the_footage_explored_now(lab: ReportedLab) -> None:
    lab.measured(0.1, 40.0, clips="c" * 64)
    now = lab.measured(0.9, 37.0)
    assert [point.id for point in gathered(lab).front] == [now]


def test_goals_are_those_of_the_settings_in_force(lab: ReportedLab) -> None:
    text = '[[goals]]\nmetric = "bitrate_mbps"\nrelation = "<="\nvalue = 0.25\n'
    lab.lab.office.push_settings(text, op_id="push")
    assert [str(goal) for goal in gathered(lab).goals] == ["bitrate_mbps <= 0.25"]


def test_every_experiment_counts_also_behind_the_first_page(lab: ReportedLab) -> None:
    for number in range(PAGE + 1):
        lab.lab.propose(experiment(f"e{number:05d}"))
    assert len(gathered(lab).rows) == PAGE + 1


def test_designers_pay_for_their_failures_but_not_for_ours(lab: ReportedLab) -> None:
    for outcome in (CRASH, HARNESS_FAULT):
        lab.run(outcome)
    lab.measured(0.9, 37.0)
    lab.measured(0.8, 36.0, designer="control")
    (compared,) = gathered(lab).comparisons
    assert compared.designer == "evolution"
    assert compared.entered.value == 1 / 2  # one that crashed, one that entered; the fault is nobody's


def test_money_is_told_by_hour_day_and_month(lab: ReportedLab) -> None:
    for age_s, used in ((40 * 24 * 3600, 1), (5 * 24 * 3600, 2), (5 * 3600, 4), (60, 8)):
        lab.clock.now = NOW - age_s
        key = lab.lab.reserve(lab.lab.queue(lab.proposal()), 10 * USD)
        lab.lab.settle(key, used * USD)
    lab.clock.now = NOW
    money = gathered(lab).money
    assert (money.hour, money.day, money.month) == (8 * USD, 12 * USD, 14 * USD)
    assert money.projected == (14 + 12 * 7.5) * USD  # seven days and a half are left of November
    assert money.forecast == "critical"  # of $100, though only a seventh of it is spent
    (month,) = money.budgets
    assert (month.budget.spent, month.level) == (15 * USD, "ok")


def test_a_dead_daemon_is_told_by_its_process_here_and_by_its_heartbeat_elsewhere(lab: ReportedLab) -> None:
    assert gathered(lab).lab.lives is None  # it said that its host is called `here`
    assert "cannot tell" in gathered(lab).lab.daemon
    lab.lab.office.beat_daemon(lab.lab.epoch, 1)
    assert gathered(lab).lab.lives is True  # it was heard just now
    lab.clock.now += 600
    assert (gathered(lab).lab.lives, gathered(lab).lab.dead_since) == (False, NOW)
    assert "is dead since 2026-11-23 12:00 UTC" in gathered(lab).lab.daemon
    lab.clock.now = NOW
    _take(lab, _gone())
    assert gathered(lab).lab.lives is False
    assert "is dead" in gathered(lab).lab.daemon
    _take(lab, os.getpid())
    assert gathered(lab).lab.lives is True
    lab.lab.office.leave_lease(lab.lab.epoch, op_id="leave")
    lab.clock.now += 7200
    assert gathered(lab).lab.daemon == "no daemon runs; the last change is 2 h 0 min old"


def test_a_daemon_that_handed_its_run_over_is_missed_once_no_other_comes(lab: ReportedLab) -> None:
    lab.lab.office.beat_daemon(lab.lab.epoch, 1)
    lab.lab.office.leave_lease(lab.lab.epoch, goes_on=True, op_id="leave")
    assert "and the next goes on with the run" in gathered(lab).lab.daemon
    assert (gathered(lab).lab.lives, gathered(lab).lab.dead_since) == (True, None)
    lab.clock.now += 600
    assert (gathered(lab).lab.lives, gathered(lab).lab.dead_since) == (False, NOW)


def test_hours_are_reserved_by_a_daemon_that_is_seen_to_live_and_by_no_other(lab: ReportedLab) -> None:
    office = lab.lab.office
    assert not reserves(lab.ledger, NOW), "one look cannot tell"
    office.beat_daemon(lab.lab.epoch, 1)
    assert reserves(lab.ledger, NOW)
    assert not reserves(lab.ledger, NOW + 600), "it is dead"
    office.leave_lease(lab.lab.epoch, goes_on=True, op_id="leave")
    assert not reserves(lab.ledger, NOW), "its successor has not come"


def test_what_is_next_names_confirmations_ideas_anchors_and_who_must_act(lab: ReportedLab) -> None:
    leads = lab.measured(0.9, 37.0)
    lab.lab.office.add_idea(Idea(key="k", family="classic", params={}), op_id="idea")
    lab.lab.office.leave_lease(lab.lab.epoch, op_id="leave")
    told = "\n".join(gathered(lab).next)
    assert f"{leads} is believed only after 3 more runs" in told
    assert "1 idea of a person" in told
    assert "11 of 11 anchors are not measured" in told
    assert "nothing happens until `aether run` is started" in told


def test_what_a_person_said_comes_first(lab: ReportedLab) -> None:
    lab.lab.office.set_control(op_id="p", paused=True)
    assert gathered(lab).next[0].startswith("paused")
    lab.lab.office.set_control(op_id="s", stop="now")
    assert gathered(lab).next[0] == "a person said stop: nothing new begins, what runs is handed back"


def _take(lab: ReportedLab, pid: int) -> None:
    """Another daemon takes the lease over, on this machine."""
    office, epoch = lab.lab.office, lab.lab.epoch
    lab.lab.epoch = office.take_lease(f"daemon-{pid}", host=socket.gethostname(), pid=pid, op_id=f"take-{pid}",
                                      observed=(epoch, office.daemon_beat(epoch)))


def _gone() -> int:
    """The id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.parametrize(("final", "says"), [(True, "`aether resume` carries on"), (False, "`aether resume` goes on")])
def test_on_an_account_nobody_is_told_to_run_what_an_orchestrator_runs(
        lab: ReportedLab, final: bool, says: str) -> None:
    here = gathered(lab)
    there = replace(here.lab, address="aws:mine", final=final, lives=False, dead_since=None)
    told = upcoming(there, here.money, Settings(), TRACK, (), None, "", {}, {})
    assert says in told[0]
    assert "aether run" not in " ".join(told)
