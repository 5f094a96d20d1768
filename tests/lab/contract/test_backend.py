"""An address opens a whole laboratory, which other processes find as it was left; a wrong one says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.backend import open_backend
from lab.control import Report
from lab.errors import UserError
from support.account import Account
from support.laboratory import Laboratory


@pytest.fixture(params=["local", pytest.param("aws", marks=pytest.mark.ci)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        open_backend(f"local:{tmp_path / 'lab'}", create=True)
        return f"local:{tmp_path / 'lab'}"
    account: Account = request.getfixturevalue("signed_in")
    return f"aws:{account.deploy().prefix}"


def test_what_one_process_leaves_another_finds(address: str) -> None:
    here, there = open_backend(address), open_backend(address)
    id = Laboratory(here.ledger.table).ready()
    here.queues["cpu"].send(id)
    here.store.swap("champion", None, here.store.put_bytes(b"weights"))
    message = there.queues["cpu"].receive(60)
    assert message is not None
    assert there.ledger.claim(message.body, worker="w", device_class="cpu2", op_id="claim") == 1
    pointed = there.store.pointer("champion")
    assert pointed is not None
    assert there.store.read(pointed) == b"weights"
    assert there.queues["gpu"].waiting() == 0


def test_it_says_where_it_is_and_where_this_machine_works_for_it(address: str) -> None:
    backend = open_backend(address)
    assert backend.address == address
    assert backend.workplace is not None
    assert backend.mailbox.deliver(Report(key="now", subject="s", text="t", html="", at=0.0))


@pytest.mark.parametrize("address", ["aws", "aws:", "s3:lab", "local:", ""])
def test_an_address_of_another_kind_is_refused_with_those_there_are(address: str) -> None:
    with pytest.raises(UserError, match=r"local:DIR.*aws:PREFIX"):
        open_backend(address)


@pytest.mark.parametrize("prefix", ["l", "Lab", "1ab", "lab_1", "a" * 21, "lab/x", "läb"])
def test_a_prefix_that_some_service_would_not_take_is_refused_without_a_request(prefix: str) -> None:
    with pytest.raises(UserError, match="no lab's prefix"):
        open_backend(f"aws:{prefix}")
