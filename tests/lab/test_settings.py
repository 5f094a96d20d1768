"""The settings file: every key documented, every fault told by its line."""

from __future__ import annotations

import tomllib

import pytest

from lab.errors import SettingsError
from lab.settings import Settings, default_text, parse


def faults(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(text, "my.toml")
    return str(caught.value).splitlines()


def test_the_file_that_init_writes_is_sound_and_says_nothing_but_the_defaults() -> None:
    assert parse(default_text()) == Settings()


def test_every_key_of_every_section_is_in_that_file_with_a_description() -> None:
    lines = default_text().splitlines()
    sections = tomllib.loads(default_text())
    for name, field in Settings.model_fields.items():
        if name in ("goals", "clips"):
            continue
        assert name in sections
        for key, described in field.annotation.model_fields.items():  # type: ignore[union-attr]
            line = next(line for line in lines if line.lstrip("# ").startswith(f"{key} ="))
            assert described.description, key
        assert line.endswith(described.description), key


def test_an_unknown_key_is_refused_with_its_line_and_the_known_ones() -> None:
    [fault] = faults("[lab]\nname = \"x\"\n\n[limits]\nworkers = 2\nminuts = 5\n")
    assert fault.startswith("my.toml:6: unknown key limits.minuts; known here: experiments, minutes")


def test_each_wrong_value_is_told_by_its_own_line() -> None:
    found = faults("[limits]\nworkers = 0\n[designers]\ncontrol_share = 0.1\n")
    assert [fault.split(":")[1] for fault in sorted(found)] == ["2", "4"]
    assert any("greater than or equal to 0.15" in fault for fault in found)


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
