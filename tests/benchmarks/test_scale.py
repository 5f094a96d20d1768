"""The benchmark of a large lab, small: its world keeps the invariants, and what an experiment costs does not grow."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from simulator.ground import OneMachine

from benchmarks.scale import Outcome, growth, price_of, run
from lab.local.table import SqliteTable
from lab.table import Write
from support.emulator import serving
from support.tables import Place


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [run(size, size // 20, 0.005, OneMachine(), "one machine") for size in (40, 160)]


def test_an_experiment_of_a_larger_lab_asks_for_no_more(outcomes: list[Outcome]) -> None:
    small, large = (one.calls.total() / one.experiments for one in outcomes)
    assert large < 1.1 * small
    assert 40 < large < 150  # some nine transactions, and what they rest on


def test_faults_strike_and_every_place_that_came_free_is_taken_again(outcomes: list[Outcome]) -> None:
    large = outcomes[-1]
    assert large.faults["message_doubled"] > 0
    assert large.faults["worker noticed"] > 0
    assert len(large.reactions_s) > 100
    assert min(large.reactions_s) > 0
    assert growth(outcomes).row_count == 2


def test_a_request_is_priced_by_the_list() -> None:
    assert price_of("SQS million requests") == pytest.approx(0.40 / 1e6)
    assert price_of("S3 thousand writes") == pytest.approx(0.005 / 1e3)


@pytest.mark.ci
def test_the_quick_emulator_gives_the_pages_that_a_table_gives(tmp_path: Path) -> None:
    rng, here = Random(1), SqliteTable(":memory:")
    ids = [f"{number:04}" for number in range(250)]
    with serving(tmp_path, "support.quick_emulator") as endpoint:
        place = Place("quick", endpoint)
        place.create()
        tables = there, _ = place.open(), here
        there.page("thing")  # what is written from here on is put among keys that are sorted already
        for turn in range(4):
            fresh = rng.sample(ids, 120)
            for table in tables:
                for id in fresh:
                    table.set("thing", id, b"x" * 6000 if turn else b"y", "even" if int(id) % 2 == 0 else "")
                table.delete("thing", fresh[:40])
                table.commit([Write("other", f"{turn}", 0, b"{}")])
            for _ in range(30):
                asked = {"after": rng.choice(["", *ids]), "limit": rng.choice([1, 7, 100, 1000]),
                         "newest_first": rng.random() < 0.5, "tag": rng.choice([None, None, "even"])}
                assert there.page("thing", **asked) == here.page("thing", **asked), asked
