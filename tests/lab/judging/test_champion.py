"""Who leads, and what three confirmations make of it."""

from __future__ import annotations

from lab.judging.champion import SEEDS, ConfirmState, Rank, champion, leader, missing_seeds, standing

RANKS: list[Rank] = [(0.0, float(n), f"e{n}") for n in range(20)]
PASSED: dict[int, ConfirmState] = dict.fromkeys(SEEDS, "passed")
MISSED: dict[int, ConfirmState] = {SEEDS[0]: "scored"}


def lead(confirms: dict[str, dict[int, ConfirmState]], ranks: list[Rank] = RANKS) -> str | None:
    found = leader(ranks, confirms)
    return found.id if found else None


def test_without_confirmations_the_best_leads_as_a_candidate() -> None:
    found = leader(RANKS, {})
    assert found is not None
    assert (found.id, found.status, found.meets) == ("e0", "candidate", True)


def test_it_is_confirmed_only_when_every_seed_has_passed() -> None:
    two = {seed: PASSED[seed] for seed in SEEDS[:2]}
    assert standing(RANKS[0], two).status == "confirming"
    assert standing(RANKS[0], PASSED).status == "confirmed"


def test_one_seed_that_misses_a_goal_refutes_a_candidate_that_met_them_all() -> None:
    assert standing(RANKS[0], {**PASSED, SEEDS[2]: "scored"}).status == "refuted"


def test_a_candidate_that_missed_a_goal_is_confirmed_by_running_as_well_again() -> None:
    miss: Rank = (0.2, 1.0, "e1")
    assert standing(miss, dict.fromkeys(SEEDS, "scored")).status == "confirmed"
    assert standing(miss, {SEEDS[0]: "failed"}).status == "refuted"


def test_a_confirmation_that_our_own_fault_ended_is_run_again() -> None:
    states: dict[int, ConfirmState] = {SEEDS[0]: "passed", SEEDS[1]: "void"}
    assert missing_seeds(states) == list(SEEDS[1:])


def test_each_refutation_doubles_the_step_to_the_next_candidate() -> None:
    confirms: dict[str, dict[int, ConfirmState]] = {}
    order = []
    while (id := lead(confirms)) is not None:
        order.append(id)
        confirms[id] = MISSED
    assert order == ["e0", "e1", "e3", "e7", "e15", "e19"]


def test_between_a_refuted_and_a_confirmed_one_the_search_goes_on() -> None:
    assert lead({"e0": MISSED, "e1": MISSED, "e3": PASSED}) == "e2"
    assert lead({"e0": MISSED, "e1": MISSED, "e2": MISSED, "e3": PASSED}) == "e3"


def test_a_newcomer_that_ranks_before_a_refuted_one_is_not_tried() -> None:
    newcomer: Rank = (0.0, -1.0, "e99")
    assert lead({"e0": MISSED}, [newcomer, *RANKS]) == "e1"


def test_the_champion_is_the_best_that_is_confirmed_whoever_leads_meanwhile() -> None:
    confirms = {"e5": PASSED, "e3": PASSED, "e0": MISSED}
    found = champion({rank[2]: rank for rank in RANKS}, confirms)
    assert found is not None
    assert found.id == "e3"
    assert champion({}, {}) is None
