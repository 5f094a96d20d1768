from __future__ import annotations

import numpy as np
import pytest

from gpu_workers.codec.measure.bdrate import bd_psnr, bd_rate

ANCHOR = [(0.5, 30.0), (1.0, 33.5), (2.0, 36.2), (4.0, 38.1), (8.0, 39.5)]


def scaled(factor: float, gain_db: float = 0.0) -> list[tuple[float, float]]:
    return [(mbps * factor, psnr + gain_db) for mbps, psnr in ANCHOR]


def test_four_fifths_of_the_rate_at_every_quality_is_minus_twenty_percent() -> None:
    assert bd_rate(ANCHOR, scaled(0.8)).value == pytest.approx(-20.0)
    assert bd_rate(ANCHOR, ANCHOR).value == pytest.approx(0.0)


def test_one_decibel_more_at_every_rate_is_one_decibel() -> None:
    assert bd_psnr(ANCHOR, scaled(1.0, 1.0)).value == pytest.approx(1.0)


def test_it_agrees_with_the_cubic_fit_of_vceg_m33() -> None:
    """Bjøntegaard's first method, a cubic through four points, written out; the interpolations differ a little."""
    anchor, points = ANCHOR[:4], [(0.45, 30.4), (0.93, 33.9), (1.8, 36.5), (3.7, 38.3)]
    fits = [np.polyint(np.polyfit([p for _, p in c], [np.log10(r) for r, _ in c], 3)) for c in (anchor, points)]
    low, high = 30.4, 38.1
    areas = [np.polyval(fit, high) - np.polyval(fit, low) for fit in fits]
    cubic = (10 ** ((areas[1] - areas[0]) / (high - low)) - 1) * 100
    assert bd_rate(anchor, points).value == pytest.approx(cubic, abs=0.5)


def test_fewer_than_four_points_give_no_number() -> None:
    delta = bd_rate(ANCHOR[:3], ANCHOR)
    assert (delta.value, delta.why) == (None, "the anchor's curve has 3 points; 4 are needed")


def test_curves_that_do_not_overlap_give_no_number() -> None:
    assert bd_rate(ANCHOR, scaled(1.0, 20.0)).why == "the curves do not overlap"
    assert bd_psnr(ANCHOR, scaled(100.0)).value is None


def test_a_small_overlap_gives_a_number_and_says_so() -> None:
    delta = bd_rate(ANCHOR, scaled(1.0, 6.0))
    assert delta.value is not None
    assert delta.note == f"the curves overlap by {delta.overlap:.0%} only"
    assert delta.overlap == pytest.approx(3.5 / 15.5)


def test_points_that_do_not_rise_are_left_out_and_that_is_said() -> None:
    uneven = [*scaled(0.8), (3.0, 31.0)]
    delta = bd_rate(ANCHOR, uneven)
    assert delta.value == pytest.approx(-20.0)
    assert delta.note == "1 point of the curve left out: not rising"


def test_a_curve_that_keeps_too_few_points_says_why() -> None:
    falling = [(1.0, 36.0), (2.0, 35.0), (3.0, 34.0), (4.0, 33.0), (5.0, 38.0)]
    delta = bd_rate(ANCHOR, falling)
    assert delta.value is None
    assert "the curve has 2 points; 4 are needed (3 points of the curve left out" in delta.why
