"""Options of the command line become part of the settings' text, and nothing else of it changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.overrides import designer_values, overridden
from lab.errors import UserError
from lab.settings import default_text, parse

TEXT = """# ours
[lab]
name = "mine"

[limits]
minutes = 30  # half an hour
threads = 2

[[goals]]
metric = "bitrate_mbps"
relation = "<="
value = 1.0
"""


def test_no_family_at_all_is_a_value_too() -> None:
    assert parse(overridden(TEXT, {("designers", "families"): list[str]()})).designers.families == ()


def test_a_key_that_stands_is_replaced_where_it_stands() -> None:
    changed = overridden(TEXT, {("limits", "minutes"): 5.0})
    assert parse(changed).limits.minutes == 5.0
    assert [line for line in changed.splitlines() if "minutes" not in line] == [
        line for line in TEXT.splitlines() if "minutes" not in line]


def test_a_key_that_is_missing_is_added_to_its_table_and_a_missing_table_before_the_others() -> None:
    settings = parse(overridden(TEXT, {("limits", "experiments"): 3, ("designers", "control_share"): 1.0}))
    assert (settings.limits.experiments, settings.limits.threads) == (3, 2)
    assert settings.designers.control_share == 1.0
    assert settings.goals is not None


@given(minutes=st.floats(0.01, 1e4), experiments=st.integers(1, 10**6), workers=st.integers(1, 64),
       text=st.sampled_from(["", TEXT, default_text(), "[budget]\nmonthly_usd = 3\n"]))
def test_whatever_is_asked_for_is_what_the_text_says(minutes: float, experiments: int, workers: int, text: str) -> None:
    asked = {("limits", "minutes"): minutes, ("limits", "experiments"): experiments, ("limits", "workers"): workers}
    limits = parse(overridden(text, asked)).limits
    assert (limits.minutes, limits.experiments, limits.workers) == (minutes, experiments, workers)


def test_a_file_written_in_another_way_is_refused_with_the_fix() -> None:
    with pytest.raises(UserError, match=r"limits\.minutes.*change it there"):
        overridden("limits = { threads = 2 }\n", {("limits", "minutes"): 5.0})


def test_a_named_designer_gets_all_weight_and_control_can_have_everything() -> None:
    only = parse(overridden("", designer_values("control"))).designers
    assert (only.mix(), only.control_share) == ({}, 1.0)
    evolution = parse(overridden("", designer_values("evolution"))).designers
    assert evolution.mix() == {"evolution": 1.0}
    with pytest.raises(UserError, match="there is control, evolution"):
        designer_values("oracle")
