"""Every guard is missed: taken out, it breaks a world within twenty seeds."""

from __future__ import annotations

import pytest
from simulator.hunt import SEEDS, noticed_at
from simulator.mutants import MUTANTS


@pytest.mark.ci
@pytest.mark.parametrize("name", MUTANTS)
def test_a_guard_that_is_taken_out_is_missed(name: str) -> None:
    found = noticed_at(MUTANTS[name])
    assert found is not None, f"without it {MUTANTS[name].allows}, and {SEEDS} worlds did not notice"


@pytest.mark.parametrize("name", ["fence", "free budget", "conditional write", "fsync"])
def test_the_simulator_notices_a_missing(name: str) -> None:
    """A tenth of the above, at every change."""
    assert noticed_at(MUTANTS[name]) is not None
