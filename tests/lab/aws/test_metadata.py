"""What a machine of AWS is told about itself, from a service of one's own that takes IMDSv2 alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.aws import metadata
from lab.aws.metadata import Instance, Notice, instance, notice
from lab.errors import Unavailable
from support.metadata import INTERRUPTION, TARGET_STATE, FakeMetadata
from support.metadata import metadata as service


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMetadata]:
    with service() as told:
        monkeypatch.setenv("AETHER_IMDS", told.address)
        yield told


def test_a_machine_knows_who_it_is(here: FakeMetadata) -> None:
    assert instance() == Instance(id="i-0123456789abcdef0", type="g5.xlarge", zone="us-east-1b", region="us-east-1",
                                  spot=True)


def test_one_that_was_bought_to_stay_is_not_spot(here: FakeMetadata) -> None:
    here.told["instance-life-cycle"] = "on-demand"
    found = instance()
    assert found is not None
    assert not found.spot


def test_there_is_no_notice_until_one_is_given(here: FakeMetadata) -> None:
    assert notice() is None
    del here.told[TARGET_STATE]  # a machine in no group
    assert notice() is None


def test_each_notice_is_told_and_the_gravest_first(here: FakeMetadata) -> None:
    here.advise("2026-11-28T12:00:00Z")
    assert notice() == Notice(kind="rebalance", at="2026-11-28T12:00:00Z")
    here.end()
    assert notice() == Notice(kind="leaving")
    here.interrupt("2026-11-28T12:02:00Z")
    assert notice() == Notice(kind="interruption", at="2026-11-28T12:02:00Z")


def test_an_interruption_whose_words_cannot_be_read_is_one_all_the_same(here: FakeMetadata) -> None:
    here.told[INTERRUPTION] = "soon"
    assert notice() == Notice(kind="interruption")


def test_no_proxy_is_asked_for_what_is_the_machine_s_own(here: FakeMetadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert instance() is not None


def test_a_machine_that_is_none_of_aws_s_asks_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setattr(metadata, "VENDOR", tmp_path / "vendor")
    assert metadata.address() is None
    (tmp_path / "vendor").write_text("A Maker of Laptops\n")
    assert (metadata.address(), instance(), notice()) == (None, None, None)
    (tmp_path / "vendor").write_text("Amazon EC2\n")
    assert metadata.address() == "http://169.254.169.254"


def test_who_forbids_aws_s_libraries_to_ask_forbids_us_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metadata, "VENDOR", tmp_path / "vendor")
    (tmp_path / "vendor").write_text("Amazon EC2\n")
    assert metadata.address() is None


def test_a_service_that_does_not_answer_or_refuses_gives_no_notice_and_no_name(
        here: FakeMetadata, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("http://127.0.0.1:1", f"{here.address}/elsewhere"):
        monkeypatch.setenv("AETHER_IMDS", address)
        assert notice() is None
        with pytest.raises(Unavailable, match="does not say which one it is"):
            instance()


def test_a_service_that_is_busy_is_asked_again(here: FakeMetadata) -> None:
    here.busy = 2
    assert instance(wait_s=60.0) is not None
    assert here.busy == 0
