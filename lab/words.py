"""Words that every room says alike."""

from __future__ import annotations


def count(number: float, noun: str, plural: str = "") -> str:
    """1 experiment, 2,000 experiments, 3 families, 0.5 minutes."""
    told = f"{number:,}" if isinstance(number, int) else f"{number:,.10g}"
    return f"{told} {noun if number == 1 else plural or noun + 's'}"
