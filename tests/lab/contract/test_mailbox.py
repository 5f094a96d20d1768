"""Reports go out with their key in the subject and their whole text; sent again, they can be told by it."""

from __future__ import annotations

from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path
from typing import NamedTuple

import pytest

from lab.aws.clients import sns
from lab.aws.mailbox import SnsMailbox
from lab.backend import Mailbox
from lab.control import Report
from lab.local.mailbox import FileMailbox
from support.account import Account

REPORT = Report(key="2026-11-23T05", subject="lab: 3 experiments, best 37.2 dB", text="Goals:\n  ≥ 35 dB – met ×2\n",
                html="0" * 64, at=1_800_000_000.0)


class Place(NamedTuple):
    mailbox: Mailbox
    read: Callable[[], set[tuple[str, str]]]  # (subject, text) of what has arrived


def _files(folder: Path) -> Place:
    def read() -> set[tuple[str, str]]:
        mails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in folder.glob("*.eml")]
        return {(mail["Subject"], mail.get_content()) for mail in mails}
    return Place(FileMailbox(folder), read)


def _sns(account: Account) -> Place:
    names = account.deploy()
    tap = account.tap(names)
    return Place(SnsMailbox(sns(**account.endpoint.settings), names.topic_arn, f"aws:{names.prefix}"),
                 lambda: set(tap.drain()))


@pytest.fixture(params=["files", pytest.param("sns", marks=pytest.mark.ci)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return _files(tmp_path) if request.param == "files" else _sns(request.getfixturevalue("account"))


def test_a_report_arrives_under_its_key(place: Place) -> None:
    assert place.mailbox.deliver(REPORT)
    assert place.read() == {("lab: 3 experiments, best 37.2 dB [2026-11-23T05]", REPORT.text)}


def test_a_report_that_was_sent_twice_can_be_told_by_its_key(place: Place) -> None:
    """A set of what arrived: one machine replaces the file, a topic publishes it again."""
    for _ in range(2):
        place.mailbox.deliver(REPORT)
    assert len(place.read()) == 1
