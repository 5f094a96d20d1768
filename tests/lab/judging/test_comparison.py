"""A designer is held against control at equal counts, failures included, beside what chance alone would give."""

from __future__ import annotations

from random import Random

from lab.judging.comparison import Values, compare
from lab.track import Objective

OBJECTIVES = (Objective(metric="rate", direction="min", reference=10.0, log=True),
              Objective(metric="quality", direction="max", reference=20.0))


def outcomes(seed: int, count: int, bonus: float = 0.0) -> list[Values]:
    rng = Random(seed)
    return [(rng.uniform(1, 9), rng.uniform(22, 30) + bonus) for _ in range(count)]


def word(mine: list[Values], control: list[Values]) -> str:
    return compare("evolution", mine, control, 0, 0, OBJECTIVES, seed=0).word


def test_a_better_designer_is_told_from_control() -> None:
    assert word(outcomes(1, 60, bonus=10.0), outcomes(2, 40)) == "better"
    assert word(outcomes(2, 40), outcomes(1, 60, bonus=10.0)) == "worse"


def test_two_that_are_alike_are_rarely_told_apart() -> None:
    told_apart = sum(word(outcomes(seed, 60), outcomes(1000 + seed, 15)) != "within noise" for seed in range(40))
    assert told_apart <= 7  # 2 expected at 95 %; 8 or more has a chance of one in a thousand


def test_ten_times_as_many_experiments_are_no_advantage() -> None:
    gains = [compare("evolution", outcomes(seed, 200), outcomes(500 + seed, 20), 0, 0, OBJECTIVES, seed=0).gain or 0.0
             for seed in range(20)]
    assert 4 <= sum(gain > 0 for gain in gains) <= 16


def test_a_designer_pays_for_its_failures() -> None:
    rarely = [v if i % 8 == 0 else None for i, v in enumerate(outcomes(1, 80))]
    assert word(rarely, outcomes(2, 80)) == "worse"


def test_the_sentence_says_the_noise() -> None:
    told = compare("evolution", outcomes(1, 50), outcomes(3, 30), 9, 3, OBJECTIVES, seed=0)
    assert told.count == 30
    assert str(told).startswith("evolution against control, 30 each: hypervolume ")
    assert "(chance gives -" in str(told)
    assert told.entered.value == 9 / 50
    assert told.entered_control.value == 3 / 30


def test_the_same_seed_gives_the_same_sentence() -> None:
    first, second = (str(compare("e", outcomes(1, 50), outcomes(2, 30), 9, 3, OBJECTIVES, seed=4)) for _ in range(2))
    assert first == second


def test_nothing_is_claimed_before_both_have_run() -> None:
    assert "nothing to compare" in str(compare("evolution", outcomes(1, 5), [], 2, 0, OBJECTIVES, seed=0))
