"""What a person is told whose account, region, login or deploy is not as it should be: one line, at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.aws.table import BODY_LIMIT
from lab.backend import open_backend
from lab.control import Report
from lab.errors import NotFound, Unavailable, UserError
from lab.table import Write
from support.account import Account, prove_harmless
from support.servers import Endpoint


def test_without_a_region_it_says_what_to_set() -> None:
    with pytest.raises(UserError, match="set AWS_REGION"):
        open_backend("aws:lab")


def test_without_credentials_it_says_how_to_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(UserError, match="AWS_PROFILE or sign in"):
        open_backend("aws:lab")


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(UserError, match=r"nobody.*set AWS_PROFILE"):
        open_backend("aws:lab")


def test_an_endpoint_elsewhere_is_never_written_to() -> None:
    with pytest.raises(AssertionError, match="not this machine"):
        prove_harmless(Endpoint("https://192.0.2.1:443"))


@pytest.mark.ci
def test_a_prefix_without_a_lab_is_told_with_account_and_region(signed_in: Account) -> None:
    with pytest.raises(NotFound, match="no lab nowhere in account 000000000000, region us-east-1: deploy it"):
        open_backend("aws:nowhere")


@pytest.mark.ci
def test_another_region_has_no_lab(signed_in: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    names = signed_in.deploy()
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with pytest.raises(NotFound, match=f"no lab {names.prefix} in .* region eu-central-1"):
        open_backend(f"aws:{names.prefix}")


@pytest.mark.ci
def test_a_lab_whose_table_is_missing_is_half_deployed_and_says_of_what(signed_in: Account) -> None:
    names = signed_in.new_names()
    signed_in.deploy(names, without=(names.table, names.topic))
    with pytest.raises(NotFound, match=f"half deployed: it has no DynamoDB table {names.table}, no SNS topic "):
        open_backend(f"aws:{names.prefix}")


@pytest.mark.ci
@pytest.mark.parametrize("missing", ["queue", "bucket", "topic"])
def test_a_part_that_is_missing_is_named_where_it_is_needed(signed_in: Account, missing: str) -> None:
    names = signed_in.new_names()
    name = {"queue": names.queue("cpu"), "bucket": names.bucket, "topic": names.topic}[missing]
    signed_in.deploy(names, without=(name,))
    lab = open_backend(f"aws:{names.prefix}")
    with pytest.raises(Unavailable, match=f"{name}: .*half deployed"):
        {"queue": lambda: lab.queues["cpu"].send("e1"), "bucket": lambda: lab.store.put_bytes(b"x"),
         "topic": lambda: lab.mailbox.deliver(Report(key="k", subject="s", text="t", html="", at=0.0))}[missing]()


@pytest.mark.ci
def test_a_body_that_no_item_can_hold_is_kept_in_the_bucket(signed_in: Account) -> None:
    lab = open_backend(f"aws:{signed_in.deploy().prefix}")
    table = lab.ledger.table
    body = b"x" * (3 * BODY_LIMIT)
    table.commit([Write("experiment", "e1", 0, body, "running"), Write("experiment", "e2", 0, b"{}")])
    found = table.get("experiment", "e1")
    assert found is not None
    assert found.body == body
    assert [record.body for record in table.page("experiment")] == [body, b"{}"]
    assert [record.body for record in table.page("experiment", tag="running")] == [body]
    assert list(lab.store.hashes()) == [], "no sweep of the store may see it"
