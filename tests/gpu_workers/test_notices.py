"""A worker on AWS hears that its machine is to go, and says who it is."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gpu_workers.main import config, serve
from gpu_workers.notices import listening
from lab.aws.metadata import Notice
from lab.backend import open_backend
from lab.settings import Settings
from support.metadata import metadata

ADVICE = Notice(kind="rebalance", at="12:00")
WAIT_S = 60.0  # bounds every wait; nothing is asserted about time


def test_advice_is_heard_and_an_interruption_after_it_and_then_nobody_listens_any_more() -> None:
    answers = iter((None, ADVICE, None, Notice(kind="interruption", at="12:02")))
    found, begun, heard = list[tuple[str, bool]](), threading.Event(), threading.Event()

    def ask() -> Notice | None:
        begun.wait(WAIT_S)
        found.append((str(notices), notices.must_go))
        if len(found) == 4:
            heard.set()
        return next(answers)  # a fifth question would end the thread with a traceback

    with listening(True, ask, look_s=0.0) as notices:
        begun.set()
        assert heard.wait(WAIT_S)
    advised = "spot rebalance recommendation at 12:00"
    assert found == [("told to go", False), ("told to go", False), (advised, False), (advised, False)]
    assert (str(notices), notices.must_go) == ("spot interruption at 12:02", True)


def test_a_machine_that_is_none_of_aws_s_asks_nobody() -> None:
    asked = threading.Event()
    with listening(False, lambda: asked.set(), look_s=0.0):
        assert not asked.wait(0.1)


@pytest.mark.parametrize("told", ["interrupt", "end", "advise"])
def test_a_worker_without_work_goes_at_any_notice(
        told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"local:{tmp_path / 'lab'}"
    open_backend(address, create=True)
    with metadata() as here:
        monkeypatch.setenv("AETHER_IMDS", here.address)
        getattr(here, told)()
        serve(address)


def test_a_worker_s_name_begins_with_its_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config(Settings(), "left").name == "left"
    with metadata("i-0abc") as here:
        monkeypatch.setenv("AETHER_IMDS", here.address)
        assert config(Settings(), "").name.startswith("i-0abc-")
        assert config(Settings(), "left").name == "i-0abc-left"
