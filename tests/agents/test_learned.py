"""What experiments teach is told only where chance would hardly show as much, however many settings are compared."""

from __future__ import annotations

from math import log
from random import Random

from agents.learned import ENOUGH, Trial, learn
from lab.space import Value
from lab.track import Objective

RATE = Objective(metric="rate", direction="min", reference=10.0, log=True)
QUALITY = Objective(metric="quality", direction="max", reference=20.0)


def trials(seed: int, count: int, gain_of_b: float = 0.0) -> list[Trial]:
    """Quality rises with the rate, and by `gain_of_b` where the mode is b; twelve more parameters do nothing."""
    rng, found = Random(seed), []
    for _ in range(count):
        params: dict[str, Value] = {"mode": rng.choice("abc"), **{f"idle{n}": rng.random() for n in range(12)}}
        if params["mode"] == "a":
            params["only_with_a"] = rng.choice((True, False))
        rate = rng.uniform(0.1, 9.0)
        bonus = gain_of_b if params["mode"] == "b" else 0.0
        found.append(Trial(params, (rate, 35 + 3 * log(rate) + bonus + rng.gauss(0, 0.5))))
    return found


def test_a_setting_that_helps_is_found_at_equal_rate() -> None:
    learned = learn(trials(1, 60, gain_of_b=3.0), (RATE, QUALITY), seed=0)
    found = learned.effects[0]
    assert (found.setting, found.against) == ("mode b", "the others")
    assert found.chance < 3.0
    assert abs(found.gain - 3.0) < 1.0


def test_among_many_settings_that_do_nothing_hardly_ever_one_is_named() -> None:
    named = sum(bool(learn(trials(seed, 40), (RATE, QUALITY), seed=seed).effects) for seed in range(40))
    assert named <= 7  # 2 expected at 95 %; 8 or more has a chance of one in a thousand


def test_a_setting_is_compared_only_where_it_exists() -> None:
    """The others have no such parameter: were they taken as `off`, mode a's own gain would seem to be its."""
    lifted = [Trial(t.params, (t.values[0], t.values[1] + 9.0)) if t.params["mode"] == "a" else t
              for t in trials(3, 60)]
    learned = learn(lifted, (RATE, QUALITY), seed=0)
    assert {e.setting for e in learned.effects} >= {"mode a"}
    assert not [e for e in learned.effects if e.setting.startswith("only_with_a")]


def test_too_few_experiments_teach_nothing() -> None:
    learned = learn(trials(1, ENOUGH - 1, gain_of_b=9.0), (RATE, QUALITY), seed=0)
    assert learned.compared == 0
    assert learned.effects == ()


def test_less_is_better_where_the_objective_says_so() -> None:
    cost = Objective(metric="cost", direction="min", reference=99.0)
    cheap = [Trial({"tool": "x" if n % 2 else "y"}, (10.0 + n % 3 - 5 * (n % 2),)) for n in range(30)]
    (found,) = learn(cheap, (cost,), seed=0).effects
    assert found.gain * (1 if found.setting == "tool x" else -1) > 4


def test_the_same_experiments_teach_the_same() -> None:
    assert learn(trials(5, 40, 1.0), (RATE, QUALITY), seed=0) == learn(trials(5, 40, 1.0), (RATE, QUALITY), seed=0)
