"""One daemon at a time; what a person said; settings revisions; the outbox of reports."""

from __future__ import annotations

import pytest

from lab.control import Control, Guarded, Idea, Report
from lab.errors import LabHeld, Stale, WrongState
from lab.office import PAGE
from support.laboratory import Laboratory


def take(lab: Laboratory, observed: tuple[int, int] | None = None) -> int:
    return lab.office.take_lease("second", host="there", pid=2, observed=observed, op_id=lab.op())


def report(key: str) -> Report:
    return Report(key=key, subject="An hour of Aether", text="nothing was lost")


def test_a_second_daemon_is_refused_and_told_who_holds_the_lab(lab: Laboratory) -> None:
    before = lab.ledger.last_change()
    with pytest.raises(LabHeld, match=r"daemon first \(pid 1 on here\)"):
        take(lab)
    assert lab.ledger.last_change() == before


def test_silence_that_was_watched_lets_another_take_over(lab: Laboratory) -> None:
    lab.office.beat_daemon(lab.epoch, 7)
    assert take(lab, observed=(lab.epoch, 7)) == lab.epoch + 1
    lease = lab.office.lease()
    assert lease is not None
    assert (lease.holder, lease.epoch) == ("second", lab.epoch + 1)


@pytest.mark.parametrize("beats_since", [8, 9])
def test_a_beat_since_then_keeps_the_lease(lab: Laboratory, beats_since: int) -> None:
    lab.office.beat_daemon(lab.epoch, 7)
    lab.office.beat_daemon(lab.epoch, beats_since)
    with pytest.raises(LabHeld):
        take(lab, observed=(lab.epoch, 7))


def test_silence_of_an_earlier_daemon_is_no_reason(lab: Laboratory) -> None:
    seen = (lab.epoch, lab.office.daemon_beat(lab.epoch))
    take(lab, observed=seen)
    with pytest.raises(LabHeld):
        lab.office.take_lease("third", host="there", pid=3, observed=seen, op_id=lab.op())


def test_a_daemon_that_was_taken_over_learns_it_at_its_next_word(lab: Laboratory) -> None:
    take(lab, observed=(lab.epoch, 0))
    with pytest.raises(Stale, match="another daemon"):
        lab.office.beat_daemon(lab.epoch, 8)
    with pytest.raises(Stale):
        lab.office.leave_lease(lab.epoch, op_id=lab.op())
    with pytest.raises(Stale):
        lab.propose()


def test_a_daemon_that_left_is_followed_at_once_under_a_new_epoch(lab: Laboratory) -> None:
    lab.office.leave_lease(lab.epoch, op_id=lab.op())
    assert take(lab) == lab.epoch + 1


def test_control_is_changed_field_by_field(lab: Laboratory) -> None:
    assert lab.office.control() == Control()
    lab.office.set_control(paused=True, op_id=lab.op())
    lab.office.set_control(stop="drain", op_id=lab.op())
    assert lab.office.control() == Control(paused=True, stop="drain")
    lab.office.set_control(paused=False, override_until=5.0, op_id=lab.op())
    assert lab.office.control() == Control(stop="drain", override_until=5.0)


def test_new_settings_are_a_new_revision_and_the_same_are_not(lab: Laboratory) -> None:
    pushed = ("a = 1\n", "a = 1\n", "a = 2\n", "a = 1\n")
    assert [lab.office.push_settings(text, op_id=lab.op()) for text in pushed] == [1, 1, 2, 3]
    texts = [lab.office.settings(n) for n in (1, 2, 3, 4)]
    assert [kept.text if kept else None for kept in texts] == ["a = 1\n", "a = 2\n", "a = 1\n", None]
    assert lab.office.control().settings == 3


def test_settings_leave_what_a_person_said_as_it_is(lab: Laboratory) -> None:
    lab.office.set_control(paused=True, op_id=lab.op())
    lab.office.push_settings("a = 1\n", op_id=lab.op())
    assert lab.office.control() == Control(paused=True, settings=1)


def test_ideas_wait_until_the_daemon_takes_them(lab: Laboratory) -> None:
    first, second = (Idea(key=key, family="line", params={"crf": 30}) for key in ("i1", "i2"))
    for idea in (first, second, first):
        lab.office.add_idea(idea, op_id=lab.op())
    assert list(lab.office.ideas()) == [first, second]
    lab.office.take_idea("i1", epoch=lab.epoch, op_id=lab.op())
    assert list(lab.office.ideas()) == [second]
    lab.office.add_idea(first, op_id=lab.op())
    assert list(lab.office.ideas()) == [second], "what was taken does not come back"


def test_there_is_one_report_for_each_hour(lab: Laboratory) -> None:
    lab.office.post_report(report("2026-11-23T05"), op_id=lab.op())
    with pytest.raises(WrongState, match="in the outbox already"):
        lab.office.post_report(report("2026-11-23T05"), op_id=lab.op())
    assert [kept.key for kept in lab.office.reports()] == ["2026-11-23T05"]


def test_a_report_waits_until_it_is_delivered(lab: Laboratory) -> None:
    for hour in ("05", "06", "07"):
        lab.office.post_report(report(f"2026-11-23T{hour}"), op_id=lab.op())
    for _ in range(2):
        lab.office.delivered("2026-11-23T05", op_id=lab.op())
    assert [kept.key[-2:] for kept in lab.office.reports(waiting=True)] == ["06", "07"]
    assert [(kept.key[-2:], kept.delivered) for kept in lab.office.reports()] == [
        ("07", False), ("06", False), ("05", True)]


def test_the_newest_page_is_the_one_composed_last_whatever_its_key_and_whoever_posts_late(lab: Laboratory) -> None:
    assert lab.office.latest_page() is None
    newest = ""
    for key, at, html in (("end-99", 1.0, "a"), ("end-100", 3.0, "b"), ("2026-11-23T05", 2.0, "c"),
                          ("guard-000001", 4.0, ""), ("2026-11-23T06", 5.0, "d")):
        lab.office.post_report(Report(key=key, subject="s", text="t", html=html, at=at), op_id=lab.op())
        newest = key if html and at != 2.0 else newest
        found = lab.office.latest_page()
        assert found is not None
        assert found.key == newest
    lab.office.delivered(newest, op_id=lab.op())
    assert lab.office.latest_page() == lab.office.report(newest)


def test_a_lab_in_which_no_page_was_written_down_knows_that_of_its_last_report(lab: Laboratory) -> None:
    for key, at in (("end-1", 1.0), ("2026-11-23T05", 2.0)):
        lab.office.post_report(Report(key=key, subject="s", text="t", html="a", at=at), op_id=lab.op())
    lab.table.delete(PAGE[0], [PAGE[1]])
    assert lab.office.latest_page() == lab.office.report("2026-11-23T05")


def test_the_guards_word_stands_beside_a_persons_and_each_is_taken_back_by_itself(lab: Laboratory) -> None:
    lab.office.set_control(paused=True, op_id=lab.op())
    assert lab.office.guarded() == Guarded()
    found = Guarded(n=1, level="critical", closed=True)
    assert lab.office.guard(found, "the money is gone", Report(key="guard-000001", subject="s", text="t"),
                            op_id="guard.1") == 1
    assert (lab.office.guarded(), lab.office.control()) == (found, Control(held="the money is gone", paused=True))
    assert [report.key for report in lab.office.reports(waiting=True)] == ["guard-000001"]
    lab.office.set_control(paused=False, op_id=lab.op())
    assert lab.office.control().held
    lab.office.guard(Guarded(n=2), "", None, op_id="guard.2")
    assert (lab.office.guarded(), lab.office.control()) == (Guarded(n=2), Control())


def test_of_two_guards_at_once_one_writes_and_the_other_is_refused(lab: Laboratory) -> None:
    for _ in range(2):
        assert lab.office.guard(Guarded(n=1, level="critical"), "", None, op_id="guard.1.critical") == 1
    with pytest.raises(Stale, match="another guard was quicker"):
        lab.office.guard(Guarded(n=1, level="high"), "", None, op_id="guard.1.high")
    assert lab.office.guarded().level == "critical"


def test_a_report_is_found_by_its_key(lab: Laboratory) -> None:
    lab.office.post_report(Report(key="2026-11-23T05", subject="s", text="t"), op_id=lab.op())
    found = lab.office.report("2026-11-23T05")
    assert found is not None
    assert found.subject == "s"
    assert lab.office.report("2026-11-23T06") is None
