"""Words that every room says alike."""

from __future__ import annotations

import pytest

from lab.words import count


@pytest.mark.parametrize(("number", "noun", "plural", "told"), [
    (1, "experiment", "", "1 experiment"), (0, "change", "", "0 changes"), (1_234_567, "file", "", "1,234,567 files"),
    (2, "family", "families", "2 families"), (0.5, "minute", "", "0.5 minutes"), (1.0, "minute", "", "1 minute"),
    (12_345_678_901, "byte", "", "12,345,678,901 bytes")])
def test_things_are_counted_as_people_say_it(number: float, noun: str, plural: str, told: str) -> None:
    assert count(number, noun, plural) == told
