"""Leases end for silence alone, on our own clock."""

from __future__ import annotations

from orchestrator.leases import LeaseWatch, Seen

LEASE_S = 60.0


def silences(beats: list[tuple[float, int]]) -> list[float]:
    """When one attempt counted as silent, given (now, its counter)."""
    watch = LeaseWatch(LEASE_S)
    return [now for now, n in beats if watch.silent([Seen("e1", 1, n)], now)]


def test_a_counter_that_stands_still_for_a_lease_time_is_silence() -> None:
    assert silences([(0, 3), (20, 3), (40, 3), (59, 3), (60, 3)]) == [60]


def test_a_counter_that_moves_starts_the_watch_anew() -> None:
    assert silences([(0, 3), (25, 3), (50, 4), (75, 4), (100, 4), (109, 4), (110, 4)]) == [110]


def test_what_was_never_seen_has_a_whole_lease_time() -> None:
    assert silences([(1e6, 0), (1e6 + 25, 0), (1e6 + 50, 0), (1e6 + 59, 0)]) == []


def test_a_pause_of_our_own_proves_nothing_about_others() -> None:
    assert silences([(0, 3), (1000, 3), (1025, 3), (1050, 3), (1059, 3), (1061, 3)]) == [1061]


def test_another_fence_is_another_attempt() -> None:
    watch = LeaseWatch(LEASE_S)
    for now in (0, 25, 50):
        watch.silent([Seen("e1", 1, 5)], now)
    assert watch.silent([Seen("e1", 2, 5)], 60) == []
