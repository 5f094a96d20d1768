"""What the family promises on real footage, as `benchmarks/restore.py` measures it: all bytes, at equal quality."""

from __future__ import annotations

import os
from statistics import fmean

import pytest
from rich.console import Console

from benchmarks.restore import CLIPS, Row, rows, table

pytestmark = pytest.mark.soak
MOST_COST_PCT = 0.5


def measured(clip: str, crfs: tuple[float, ...], channels: int, steps: int) -> list[Row]:
    found = list(rows(clip, crfs, channels, steps, os.cpu_count() or 1))
    Console(width=200).print(table(found))
    return found


def net(found: list[Row], metric: str) -> list[float]:
    values = [one.net_pct[metric] for one in found]
    assert None not in values, "the curve has to reach as far as the streams do"
    return [value for value in values if value is not None]


def test_drive_at_half_a_megabit_takes_6_percent_fewer_bytes_and_loses_no_vmaf() -> None:
    found = measured("drive_1080p30", (64, 66, 68), 16, 2400)
    assert all(0.4 <= one.point.mbps <= 0.6 for one in found)
    assert fmean(net(found, "psnr_y_db")) <= -6
    assert max(net(found, "vmaf")) <= 0


def test_drive_at_a_megabit_costs_nothing_that_counts() -> None:
    found = measured("drive_1080p30", (61.5,), 16, 2400)
    assert 0.9 <= found[0].point.mbps <= 1.1
    assert net(found, "psnr_y_db")[0] <= MOST_COST_PCT


@pytest.mark.parametrize("clip", CLIPS[1:])
def test_on_no_clip_does_it_cost_more_than_half_a_percent(clip: str) -> None:
    assert max(net(measured(clip, (), 8, 1000), "psnr_y_db")) <= MOST_COST_PCT
