"""The settings file: every key documented, every fault told by its line."""

from __future__ import annotations

import tomllib

import pytest

from lab.errors import SettingsError
from lab.settings import Settings, default_text, descriptions, parse


def faults(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(text, "my.toml")
    return str(caught.value).splitlines()


def test_the_file_that_init_writes_is_sound_and_says_nothing_but_the_defaults() -> None:
    assert parse(default_text()) == Settings()


def test_every_key_of_every_section_is_in_that_file_with_a_description() -> None:
    lines = default_text().splitlines()
    sections = tomllib.loads(default_text())
    for name in Settings.__struct_fields__:
        if name in ("goals", "clips"):
            continue
        assert name in sections
        for key, described in descriptions(type(getattr(Settings(), name))).items():
            assert described, key
            assert any(line.lstrip("# ").startswith(f"{key} =") and line.endswith(described) for line in lines), key


def test_an_unknown_key_is_refused_with_its_line_and_the_known_ones() -> None:
    [fault] = faults("[lab]\nname = \"x\"\n\n[limits]\nworkers = 2\nminuts = 5\n")
    assert fault.startswith("my.toml:6: unknown key limits.minuts; known here: experiments, minutes")


def test_each_wrong_value_is_told_by_its_own_line() -> None:
    found = faults("[limits]\nworkers = 0\n[designers]\ncontrol_share = 0.1\n")
    assert [fault.split(":")[1] for fault in sorted(found)] == ["2", "4"]
    assert any(">= 0.15" in fault for fault in found)


@pytest.mark.parametrize(("text", "told"), [
    ("[budget]\nmonthly_usd = inf\n", "my.toml:2: budget.monthly_usd = inf: expected a finite number"),
    ("[limits]\nminutes = \"5\"\n", "my.toml:2: limits.minutes = '5': expected `float | null`, got `str`"),
    ("limits = 3\n", "my.toml:1: limits = 3: a table is expected, [limits]"),
    ("goals = 3\n", "my.toml:1: goals = 3: write each as a table, [[goals]]"),
    ("[[clips]]\nrole = \"score\"\n", "my.toml:1: clips.0.path is missing"),
    ("[[clips]]\npath = \"x\"\nrole = \"y\"\n", "my.toml:3: clips.0.role = 'y': one of train, score, confirm"),
])
def test_what_is_expected_is_said(text: str, told: str) -> None:
    assert faults(text) == [told]


def test_the_second_goal_is_found_in_the_second_table() -> None:
    goal = '[[goals]]\nmetric = "ssim"\nrelation = "{}"\nvalue = 0.9\n'
    [fault] = faults(goal.format(">=") + goal.format("=="))
    assert fault.startswith("my.toml:7: goals.1.relation = '=='")


def test_a_lease_too_short_for_its_heartbeats_is_refused_with_the_rule() -> None:
    [fault] = faults("[limits]\nlease_s = 10\n")
    assert "lease_s must be at least grace_s + 2 x beat_s" in fault


def test_text_that_is_no_toml_names_file_and_line() -> None:
    [fault] = faults("[lab]\nname = \n")
    assert fault.startswith("my.toml: ")
    assert "line 2" in fault


def test_a_job_class_without_a_price_is_not_priced_at_nothing() -> None:
    assert parse("[prices]\ncpu_usd_h = 0.1\n").prices.by_class() == {"cpu": 0.1}
