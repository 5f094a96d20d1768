"""What the ledger leans on, whichever table is under it: versions, whole transactions, order, pages."""

from __future__ import annotations

from uuid import uuid4

import pytest

from lab.errors import Conflict
from lab.table import Check, Table, Write
from support.servers import Endpoint
from support.tables import Place


def write(id: str, expected: int = 0, body: bytes = b"{}", tag: str = "", kind: str = "thing") -> Write:
    return Write(kind, id, expected, body, tag)


def fill(table: Table, ids: list[str], tag: str = "") -> None:
    for start in range(0, len(ids), 50):
        table.commit([write(id, tag=tag) for id in ids[start:start + 50]])


def ids(table: Table, kind: str = "thing", **how: object) -> list[str]:
    return [record.id for record in table.page(kind, **how)]  # type: ignore[arg-type]


def test_a_record_comes_back_as_it_was_written(table: Table) -> None:
    table.commit([write("a", body=b'{"x":"\xc3\xa4"}', tag="open")])
    record = table.get("thing", "a")
    assert record == write("a", body=b'{"x":"\xc3\xa4"}', tag="open").record()
    assert record is not None
    assert record.version == 1


def test_what_was_never_written_is_none(table: Table) -> None:
    assert table.get("thing", "a") is None
    assert ids(table) == []


def test_many_come_in_the_order_asked_for_without_those_that_do_not_exist(table: Table) -> None:
    """More than DynamoDB gives in one request."""
    names = [f"{n:03d}" for n in range(130)]
    fill(table, names)
    asked = [*reversed(names), "nowhere"]
    assert [record.id for record in table.get_many([("thing", id) for id in asked])] == asked[:-1]
    assert table.get_many([]) == []


def test_a_version_counts_the_writes(table: Table) -> None:
    for expected in range(3):
        table.commit([write("a", expected)])
    record = table.get("thing", "a")
    assert record is not None
    assert record.version == 3


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_a_write_that_saw_another_version_conflicts(table: Table, expected: int) -> None:
    table.commit([write("a", body=b"1")])
    table.commit([write("a", 1, body=b"2")])
    with pytest.raises(Conflict):
        table.commit([write("a", expected, body=b"3")])
    record = table.get("thing", "a")
    assert record is not None
    assert record.body == b"2"


def test_a_record_that_must_exist_and_does_not_conflicts(table: Table) -> None:
    with pytest.raises(Conflict):
        table.commit([write("a", 1)])
    assert table.get("thing", "a") is None


def test_one_failed_condition_leaves_every_write_undone(table: Table) -> None:
    table.commit([write("a")])
    with pytest.raises(Conflict):
        table.commit([write("b"), write("c"), write("a", 0)])
    assert ids(table) == ["a"]


@pytest.mark.parametrize("stale", [0, 2])
def test_a_failed_check_leaves_every_write_undone(table: Table, stale: int) -> None:
    table.commit([write("a")])
    with pytest.raises(Conflict):
        table.commit([write("b")], [Check("thing", "a", stale)])
    assert ids(table) == ["a"]


def test_a_check_that_holds_lets_the_writes_through_and_changes_nothing_itself(table: Table) -> None:
    table.commit([write("a")])
    table.commit([write("b")], [Check("thing", "a", 1), Check("thing", "none", 0)])
    record = table.get("thing", "a")
    assert record is not None
    assert (record.version, ids(table)) == (1, ["a", "b"])


def test_a_hundred_records_go_in_one_transaction(table: Table) -> None:
    table.commit([write(f"{n:03d}") for n in range(100)])
    assert len(ids(table, limit=200)) == 100


def test_kinds_are_apart(table: Table) -> None:
    table.commit([write("a", kind="one"), write("a", kind="two", body=b"2"), write("b", kind="two")])
    assert (ids(table, "one"), ids(table, "two")) == (["a"], ["a", "b"])


def test_set_needs_no_version(table: Table) -> None:
    for body in (b"1", b"2", b"2"):
        table.set("beat", "a", body)
    record = table.get("beat", "a")
    assert record is not None
    assert record.body == b"2"


def test_deleted_records_are_gone_and_deleting_again_is_harmless(table: Table) -> None:
    fill(table, [f"{n:03d}" for n in range(60)])
    for _ in range(2):
        table.delete("thing", [f"{n:03d}" for n in range(55)])
    assert ids(table) == [f"{n:03d}" for n in range(55, 60)]
    assert table.get("thing", "000") is None


def test_pages_walk_through_a_thousand_records_in_the_order_of_ids(table: Table) -> None:
    wanted = sorted(f"e{n:04d}" for n in range(1050))
    fill(table, wanted[::-1])
    seen: list[str] = []
    while page := ids(table, after=seen[-1] if seen else "", limit=400):
        seen += page
    assert seen == wanted


def test_pages_walk_backwards_too(table: Table) -> None:
    fill(table, [f"{n:03d}" for n in range(10)])
    assert ids(table, newest_first=True, limit=3) == ["009", "008", "007"]
    assert ids(table, newest_first=True, limit=3, after="007") == ["006", "005", "004"]
    assert ids(table, newest_first=True, after="000") == []


def test_pages_hold_large_bodies(table: Table) -> None:
    """Together they are more than one answer of DynamoDB (1 MB) can carry."""
    body = b'"' + b"x" * 300_000 + b'"'
    for id in "abcdef":
        table.commit([write(id, body=body, tag="big")])
    assert [len(record.body) for record in table.page("thing")] == [300_002] * 6
    assert [len(record.body) for record in table.page("thing", tag="big")] == [300_002] * 6


def test_a_page_by_tag_holds_exactly_what_has_the_tag_now(table: Table) -> None:
    fill(table, [f"{n:03d}" for n in range(0, 40, 2)], tag="even")
    fill(table, [f"{n:03d}" for n in range(1, 40, 2)], tag="odd")
    table.commit([write("004", 1, tag="odd")])
    assert ids(table, tag="even", limit=3) == ["000", "002", "006"]
    assert ids(table, tag="even", after="006", limit=2) == ["008", "010"]
    assert ids(table, tag="odd", limit=4) == ["001", "003", "004", "005"]
    assert ids(table, tag="odd", newest_first=True, limit=2) == ["039", "037"]


def test_a_tag_of_another_kind_is_not_listed(table: Table) -> None:
    table.commit([write("a", tag="open", kind="one"), write("b", tag="open", kind="two")])
    assert ids(table, "one", tag="open") == ["a"]


def test_a_session_commits_what_was_decided_inside(table: Table) -> None:
    with table.session():
        seen = table.get("thing", "a")
        table.commit([write("a", seen.version if seen else 0)])
    assert ids(table) == ["a"]


@pytest.mark.ci
def test_a_table_whose_making_is_asked_for_again_is_made_once(dynamodb_local: Endpoint) -> None:
    place = Place(f"twice-{uuid4().hex}", dynamodb_local)
    place.create()
    place.open().commit([write("a")])
    place.create()
    assert ids(place.open()) == ["a"]
