"""A band says how sure a number is, repeats with its seed, and holds the truth about as often as it claims."""

from __future__ import annotations

from random import Random
from statistics import fmean

import pytest

from lab.judging.intervals import bootstrap_difference, mean_difference, median_difference, wilson


def test_wilson_matches_a_published_example() -> None:
    # Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I: 81 of 263
    band = wilson(81, 263)
    assert (round(band.low, 4), round(band.high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (10, 10), (3, 10), (0, 1), (500, 1000)])
def test_a_share_lies_within_its_band_and_the_band_within_zero_and_one(hits: int, trials: int) -> None:
    band = wilson(hits, trials)
    assert 0 <= band.low <= band.value == hits / trials <= band.high <= 1


def test_without_trials_any_share_is_possible() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_band() -> None:
    rng = Random(1)
    a, b = [rng.gauss(1, 1) for _ in range(30)], [rng.gauss(0, 1) for _ in range(30)]
    assert median_difference(a, b, seed=5) == median_difference(a, b, seed=5)
    assert median_difference(a, b, seed=5) != median_difference(a, b, seed=6)


def test_a_difference_of_nothing_is_within_noise_and_a_large_one_is_not() -> None:
    rng = Random(2)
    a, b = [rng.gauss(0, 1) for _ in range(40)], [rng.gauss(0, 1) for _ in range(40)]
    assert not median_difference(a, b, seed=1).excludes_zero
    apart = median_difference([v + 3 for v in a], b, seed=1)
    assert apart.excludes_zero
    assert apart.low > 1.5


def test_the_band_holds_the_truth_about_as_often_as_it_says() -> None:
    rng, held = Random(3), 0
    for seed in range(100):
        a, b = [rng.gauss(1, 1) for _ in range(20)], [rng.gauss(0, 1) for _ in range(20)]
        band = bootstrap_difference(a, b, fmean, seed=seed, resamples=400)
        held += band.low <= 1 <= band.high
    assert 86 <= held <= 100


def test_a_difference_from_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value on each side"):
        mean_difference([], [1.0], seed=0)
