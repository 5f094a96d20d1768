from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_workers.codec.measure.savings import saving_pct

CURVE = [(0.5, 30.0), (1.0, 33.0), (2.0, 36.0), (4.0, 39.0)]  # rate doubles every 3 dB


def test_half_the_anchors_rate_at_a_measured_point_saves_half() -> None:
    assert saving_pct(CURVE, 0.5, 33.0) == (pytest.approx(50.0), "")


def test_between_points_log_rate_is_interpolated() -> None:
    assert saving_pct(CURVE, 2**0.5, 34.5)[0] == pytest.approx(0.0)


@given(st.floats(30, 39), st.floats(0.01, 100))
def test_the_saving_grows_as_the_rate_falls(psnr_db: float, mbps: float) -> None:
    value, why = saving_pct(reversed(CURVE), mbps, psnr_db)
    anchor = 0.5 * 2 ** ((psnr_db - 30) / 3)
    assert value == pytest.approx(100 * (1 - mbps / anchor))
    assert why == ""


@pytest.mark.parametrize("psnr_db", [29.99, 39.01, -5.0])
def test_outside_the_curve_there_is_no_number(psnr_db: float) -> None:
    value, why = saving_pct(CURVE, 1.0, psnr_db)
    assert value is None
    assert f"{psnr_db:.2f} dB lies outside the anchor's curve, 30.00 to 39.00 dB" == why


def test_a_point_of_the_anchor_that_is_beaten_is_left_out() -> None:
    beaten = [*CURVE, (3.0, 34.0), (2.0, 35.0)]
    assert saving_pct(beaten, 1.0, 37.0) == saving_pct(CURVE, 1.0, 37.0)


@pytest.mark.parametrize("curve", [[], [(1.0, 33.0)], [(1.0, 33.0), (2.0, 32.0)], [(0.0, 30.0), (float("nan"), 31.0)]])
def test_a_curve_without_two_usable_points_gives_no_number(curve: list[tuple[float, float]]) -> None:
    value, why = saving_pct(curve, 1.0, 33.0)
    assert value is None
    assert "two are needed" in why


@pytest.mark.parametrize(("mbps", "psnr_db"), [(0.0, 33.0), (float("nan"), 33.0), (1.0, float("inf"))])
def test_a_candidate_that_is_not_a_number_gives_no_number(mbps: float, psnr_db: float) -> None:
    assert saving_pct(CURVE, mbps, psnr_db)[0] is None


def test_it_needs_no_numerical_library() -> None:
    heavy = "{'numpy', 'scipy', 'torch', 'av', 'bjontegaard'}"
    code = f"import sys, gpu_workers.codec.measure.savings; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
