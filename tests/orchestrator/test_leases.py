"""Leases end for silence alone, on our own clock."""

from __future__ import annotations

from orchestrator.leases import LeaseWatch, Seen

LEASE_S = 60.0


def silences(beats: list[tuple[float, int]]) -> list[float]:
    """When one attempt counted as silent, given (now, its counter)."""
    watch = LeaseWatch()
    return [now for now, n in beats if watch.silent([Seen("e1", 1, n, LEASE_S)], now)]


def test_a_counter_that_stands_still_for_a_lease_time_is_silence() -> None:
    assert silences([(0, 3), (20, 3), (40, 3), (59, 3), (60, 3)]) == [60]


def test_a_counter_that_moves_starts_the_watch_anew() -> None:
    assert silences([(0, 3), (25, 3), (50, 4), (75, 4), (100, 4), (109, 4), (110, 4)]) == [110]


def test_what_was_never_seen_has_a_whole_lease_time() -> None:
    assert silences([(1e6, 0), (1e6 + 25, 0), (1e6 + 50, 0), (1e6 + 59, 0)]) == []


def test_a_pause_of_our_own_proves_nothing_about_others() -> None:
    assert silences([(0, 3), (1000, 3), (1025, 3), (1050, 3), (1059, 3), (1061, 3)]) == [1061]


def test_another_fence_is_another_attempt() -> None:
    watch = LeaseWatch()
    for now in (0, 25, 50):
        watch.silent([Seen("e1", 1, 5, LEASE_S)], now)
    assert watch.silent([Seen("e1", 2, 5, LEASE_S)], 60) == []


def test_each_attempt_is_watched_by_the_lease_that_it_was_given() -> None:
    watch, long, short = LeaseWatch(), Seen("e1", 1, 5, 90.0), Seen("e2", 1, 5, 30.0)
    found = {now: watch.silent([long, short], now) for now in range(0, 100, 10)}
    assert {now: [seen.experiment for seen in seen] for now, seen in found.items() if seen} == {
        30: ["e2"], 40: ["e2"], 50: ["e2"], 60: ["e2"], 70: ["e2"], 80: ["e2"], 90: ["e1", "e2"]}
