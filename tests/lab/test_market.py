"""The house's rate: what is paid in any case, and machines for as long as no attempt pays them."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from lab.backend import open_backend
from lab.market import House, Rented, open_market

THREE = tuple(Rented(id=f"i-{n}", usd_h=n / 10, bound_usd_h=n / 3, aside_usd_h=n / 7) for n in (1, 2, 3))


def test_a_machine_costs_the_house_its_hours_without_work_and_what_stands_aside_in_any_case() -> None:
    house = House(fixed_usd_h=0.02, rented=THREE)
    assert house.usd_h(()) == pytest.approx(0.02 + 0.6 + 6 / 7)
    assert house.usd_h({"i-2", "i-9"}) == pytest.approx(0.02 + 0.4 + 6 / 7)
    assert house.bound_usd_h == pytest.approx(0.02 + 2 + 6 / 7)


def test_the_same_machines_in_another_order_cost_the_same_to_the_bit() -> None:
    """Else each look at the account, which promises no order, could ask for a new reservation."""
    bounds = {House(fixed_usd_h=0.02, rented=some).bound_usd_h for some in permutations(THREE)}
    assert len(bounds) == 1


def test_a_lab_on_one_machine_has_no_market(tmp_path: Path) -> None:
    assert open_market(open_backend(f"local:{tmp_path}", create=True)) is None
