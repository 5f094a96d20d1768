"""Which box goes when the machine's memory comes to its end: the one that holds most, and none that holds little."""

from __future__ import annotations

from gpu_workers.sandbox.limits import Limits
from gpu_workers.sandbox.watch import has_to_go

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
