"""Which box goes when the machine's memory comes to its end: the one that holds most, and none that holds little."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from gpu_workers.sandbox.inside import Usage
from gpu_workers.sandbox.limits import Limits
from gpu_workers.sandbox.watch import excess, has_to_go, kernel_kills

TOTAL_MB = 16_000


def gone(held_mb: float, available_mb: float, limits: Limits = Limits()) -> bool:  # noqa: B008  # frozen
    return has_to_go(held_mb, available_mb, TOTAL_MB, limits)


def test_of_several_boxes_the_largest_goes_before_any_other_has_to() -> None:
    boxes = (200, 1000, 3000, 8000)
    first = next(available for available in range(TOTAL_MB, 0, -1) if any(gone(held, available) for held in boxes))
    assert [held for held in boxes if gone(held, first)] == [8000]


def test_a_small_box_stays_on_a_machine_that_others_have_filled() -> None:
    assert not gone(100, available_mb=50)


def test_where_it_cannot_be_seen_what_a_box_holds_a_part_of_the_machine_has_to_stay_free() -> None:
    """A graphics driver's anonymous files are in no count."""
    gpu = Limits(private_memory=False)
    assert gone(100, 0.09 * TOTAL_MB, gpu)
    assert not gone(100, 0.11 * TOTAL_MB, gpu)


def judged(monkeypatch: pytest.MonkeyPatch, available_mb: int, exact_mb: float, limits: Limits) -> Any:
    """What comes of a box that seems to hold 4,000 MB and holds `exact_mb`."""
    monkeypatch.setattr(psutil, "virtual_memory",
                        lambda: SimpleNamespace(available=available_mb << 20, total=TOTAL_MB << 20))
    inside: Any = SimpleNamespace(exact_resident_mb=lambda: exact_mb)
    return excess(inside, Usage(resident_mb=4000, files_mb=0, inodes=0), limits)


def test_the_exact_figure_decides_and_a_full_machine_is_not_the_candidates_fault(
        monkeypatch: pytest.MonkeyPatch) -> None:
    roomy = Limits(memory_mb=8000)
    assert judged(monkeypatch, 2000, 4000, roomy) is None
    assert judged(monkeypatch, 900, 400, roomy) is None, "most of what it seemed to hold was shared"
    full = judged(monkeypatch, 900, 4000, roomy)
    assert (full.reason, full.detail) == ("harness_fault", "the machine has 900 MB left, and this box holds 4000 MB")
    assert judged(monkeypatch, 900, 4000, Limits(memory_mb=3000)).reason == "memory", "its own ceiling comes first"


def test_the_kernels_count_is_read() -> None:
    assert kernel_kills() >= 0
    with open("/proc/vmstat") as facts:
        assert f"oom_kill {kernel_kills()}" in facts.read()
