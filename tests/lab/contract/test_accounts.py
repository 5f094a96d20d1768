"""Money: a cap that no reservation passes, and costs that are settled exactly once."""

from __future__ import annotations

import pytest

from lab.errors import NotFound, OverBudget, Refused, Stale, WrongState
from lab.experiment import Machine
from lab.money import Budget
from support.laboratory import BUDGET, USD, Laboratory


@pytest.fixture
def small(lab: Laboratory) -> Laboratory:
    lab.accounts.set_cap(BUDGET, 10 * USD, op_id=lab.op())
    return lab


def balance(lab: Laboratory, id: str = BUDGET) -> tuple[int, int, int]:
    budget = lab.accounts.balance(id)
    assert budget is not None
    assert budget.cap == budget.free + budget.reserved + budget.spent
    return budget.free, budget.reserved, budget.spent


def test_a_reservation_is_taken_from_what_is_free(small: Laboratory) -> None:
    small.reserve(small.queue(), 3 * USD)
    assert balance(small) == (7 * USD, 3 * USD, 0)


def test_settling_books_what_was_used_and_frees_the_rest(small: Laboratory) -> None:
    id = small.queue()
    key = small.reserve(id, 3 * USD)
    small.finish(id, small.claim(id))
    assert small.settle(key, USD) == USD
    assert balance(small) == (9 * USD, 0, USD)
    assert small.ledger.experiment(id).cost_microusd == USD
    assert [(entry.key, entry.amount, entry.experiment) for entry in small.accounts.entries()] == [(key, USD, id)]


def test_the_cap_may_be_met_but_not_passed(small: Laboratory) -> None:
    small.reserve(small.queue(), 10 * USD)
    id = small.queue()
    with pytest.raises(OverBudget, match="aether budget set"):
        small.reserve(id, 1)
    assert balance(small) == (0, 10 * USD, 0)
    assert small.ledger.experiment(id).reservation is None


def test_one_full_budget_of_two_refuses_and_takes_from_neither(small: Laboratory) -> None:
    small.accounts.set_cap("run", USD, op_id=small.op())
    id = small.queue()
    with pytest.raises(OverBudget):
        small.ledger.reserve(id, 2 * USD, (BUDGET, "run"), price_usd_h=1.0, epoch=small.epoch, op_id=small.op())
    assert (balance(small), balance(small, "run")) == ((10 * USD, 0, 0), (USD, 0, 0))


def test_two_budgets_pay_together(small: Laboratory) -> None:
    small.accounts.set_cap("run", 5 * USD, op_id=small.op())
    id = small.queue()
    key = small.ledger.reserve(id, 2 * USD, (BUDGET, "run"), price_usd_h=1.0, epoch=small.epoch, op_id=small.op())
    small.settle(key, USD)
    assert (balance(small), balance(small, "run")) == ((9 * USD, 0, USD), (4 * USD, 0, USD))


def test_no_more_than_was_reserved_is_ever_booked(small: Laboratory) -> None:
    assert small.settle(small.reserve(small.queue(), USD), 5 * USD) == USD
    assert balance(small) == (9 * USD, 0, USD)


def test_a_reservation_is_settled_once(small: Laboratory) -> None:
    key = small.reserve(small.queue(), USD)
    small.settle(key)
    with pytest.raises(WrongState, match="settled already"):
        small.settle(key)
    assert len(list(small.accounts.entries())) == 1


def test_each_attempt_has_its_own_reservation_and_entry(small: Laboratory) -> None:
    id = small.queue()
    for used in (USD // 4, USD // 2):
        key = small.reserve(id, USD)
        small.release(id, small.claim(id))
        small.settle(key, used)
    assert [entry.key for entry in small.accounts.entries()] == [f"{id}.1", f"{id}.2"]
    assert small.ledger.experiment(id).cost_microusd == USD * 3 // 4


def test_an_experiment_is_reserved_for_once_at_a_time(small: Laboratory) -> None:
    id = small.ready()
    with pytest.raises(Refused, match="reservation already"):
        small.reserve(id)
    assert balance(small) == (9 * USD, USD, 0)


def test_a_reservation_that_no_attempt_took_is_given_back(small: Laboratory) -> None:
    id = small.queue()
    key = small.reserve(id, USD)
    small.settle(key, 0)
    assert balance(small) == (10 * USD, 0, 0)
    assert small.ledger.experiment(id).reservation is None


def test_what_gave_its_money_back_can_be_reserved_for_again(small: Laboratory) -> None:
    """A lab that stops frees the money of what waits; the next run reserves it anew."""
    id = small.queue()
    first = small.reserve(id, USD)
    small.settle(first, 0)
    second = small.reserve(id, USD)
    assert first != second
    assert small.ledger.experiment(id).attempts == ()
    small.finish(id, small.claim(id))
    assert small.ledger.experiment(id).attempts[0].reservation == second
    assert small.settle(second, USD) == USD


def test_the_money_of_an_attempt_that_still_runs_is_not_settled(small: Laboratory) -> None:
    id, fence = small.start()
    with pytest.raises(WrongState, match="still runs"):
        small.settle(f"{id}.1")
    small.release(id, fence)
    assert small.settle(f"{id}.1", 1000) == 1000


def test_what_an_attempt_used_cannot_be_freed_as_if_nobody_had_taken_the_money(small: Laboratory) -> None:
    id, fence = small.start()
    small.finish(id, fence)  # it used 2 s at $1 an hour: 556 micro-dollars
    with pytest.raises(WrongState, match="paid for an attempt"):
        small.settle(f"{id}.1", 0)
    assert small.settle(f"{id}.1", 556) == 556


def test_an_attempt_may_be_billed_by_the_price_of_the_very_machine_that_ran_it(small: Laboratory) -> None:
    machine = Machine(id="i-1", type="c5.xlarge", zone="us-east-1a", spot=True)
    id = small.ready()  # reserved at $1 an hour
    fence = small.ledger.claim(id, worker="w1", device_class="cpu2", machine=machine, op_id=small.op())
    small.finish(id, fence)  # it used 2 s
    assert small.ledger.experiment(id).attempts[0].machine == machine
    with pytest.raises(WrongState, match="paid for an attempt"):
        small.settle(f"{id}.1", 222, price_usd_h=0.4001)
    assert small.settle(f"{id}.1", 223, price_usd_h=0.4) == 223
    (entry,) = small.accounts.entries()
    assert (entry.amount, entry.price_usd_h) == (223, 0.4)


def test_open_reservations_are_those_not_settled(small: Laboratory) -> None:
    first, second = (small.reserve(small.queue(), USD) for _ in range(2))
    small.settle(first)
    assert [reservation.key for reservation in small.accounts.open_reservations()] == [second]
    settled = small.accounts.reservation(first)
    assert settled is not None
    assert settled.settled


def test_overhead_is_reserved_ahead_under_its_own_key(small: Laboratory) -> None:
    key = "orchestrator.2026-11-23T05"
    small.accounts.reserve_overhead(key, USD, (BUDGET,), price_usd_h=0.02, epoch=small.epoch, op_id=small.op())
    small.settle(key, USD // 10)
    assert balance(small) == (10 * USD - USD // 10, 0, USD // 10)
    assert [(entry.what, entry.experiment) for entry in small.accounts.entries()] == [("overhead", None)]


def test_a_model_call_is_reserved_at_its_largest_answer_and_settled_by_what_was_answered(small: Laboratory) -> None:
    for call, used in ((1, USD // 4), (2, 2 * USD)):
        assert small.accounts.reserve_overhead(f"model.1.{call}", USD, (BUDGET,), price_usd_h=0.0, what="model",
                                               epoch=small.epoch, op_id=small.op())
        assert [one.what for one in small.accounts.open_reservations()] == ["model"]
        assert small.settle(f"model.1.{call}", used) == min(used, USD)
    assert balance(small) == (10 * USD - USD * 5 // 4, 0, USD * 5 // 4)
    assert {(entry.what, entry.experiment) for entry in small.accounts.entries()} == {("model", None)}
    with pytest.raises(OverBudget):
        small.accounts.reserve_overhead("model.1.3", 9 * USD, (BUDGET,), price_usd_h=0.0, what="model",
                                        epoch=small.epoch, op_id=small.op())


def test_the_last_attempts_are_found_under_any_number_of_hours_of_the_house(small: Laboratory) -> None:
    attempts = [f"{small.end()}.1" for _ in range(3)]
    for hour in range(3):
        small.accounts.reserve_overhead(f"overhead.1.{hour}", USD, (BUDGET,), price_usd_h=0.02, epoch=small.epoch,
                                        op_id=small.op())
        small.settle(f"overhead.1.{hour}", USD // 10)
    assert [entry.key for entry in small.accounts.latest_attempts(2)] == attempts[:0:-1]


def test_overhead_is_reserved_once_under_a_key(small: Laboratory) -> None:
    def reserve() -> None:
        small.accounts.reserve_overhead("hour.1", USD, (BUDGET,), price_usd_h=0.02, epoch=small.epoch,
                                        op_id=small.op())
    reserve()
    with pytest.raises(WrongState, match="reserved already"):
        reserve()
    assert balance(small) == (9 * USD, USD, 0)


def test_what_arises_anyway_is_booked_also_where_it_is_not_free_within_its_bound(small: Laboratory) -> None:
    small.accounts.set_cap("run", 5 * USD, op_id=small.op())
    taken = [small.accounts.reserve_overhead(f"hour.{n}", 4 * USD, (BUDGET, "run"), price_usd_h=4.0, anyway=True,
                                             epoch=small.epoch, op_id=small.op()) for n in (1, 2)]
    assert taken == [True, False]
    assert (balance(small), balance(small, "run")) == ((6 * USD, 4 * USD, 0), (USD, 4 * USD, 0))
    assert [small.settle(f"hour.{n}", 9 * USD) for n in (1, 2)] == [4 * USD, 4 * USD]
    assert (balance(small), balance(small, "run")) == ((2 * USD, 0, 8 * USD), (-3 * USD, 0, 8 * USD))
    assert list(small.accounts.open_reservations()) == []


def at_rest(small: Laboratory) -> Laboratory:
    """After its daemon left."""
    small.ledger.office.leave_lease(small.epoch, op_id=small.op())
    return small


def test_what_arises_at_rest_is_booked_once_also_past_the_cap(small: Laboratory) -> None:
    small.reserve(small.queue(), 8 * USD)
    lab = at_rest(small)
    for amount in (3 * USD, 4 * USD):  # the second by another process, which saw more of the same hour
        entry = lab.accounts.book_at_rest("rest.1.1", amount, (BUDGET,), used_s=3600.0, epoch=lab.epoch, op_id="rest")
        assert (entry.amount, entry.what, entry.used_s) == (3 * USD, "overhead", 3600.0)
    assert balance(lab) == (-USD, 8 * USD, 3 * USD)
    assert [(one.key, one.settled) for one in lab.accounts.open_reservations()] == [("e0001.1", False)]
    with pytest.raises(WrongState, match="reserved already"):
        lab.accounts.book_at_rest("rest.1.1", USD, (BUDGET,), used_s=1.0, epoch=lab.epoch, op_id="another")


def test_nothing_is_booked_at_rest_while_a_daemon_lives_or_after_another_has_come(small: Laboratory) -> None:
    def book(lab: Laboratory) -> None:
        lab.accounts.book_at_rest("rest.1.1", USD, (BUDGET,), used_s=1.0, epoch=lab.epoch, op_id="rest")
    with pytest.raises(Stale, match="does not rest"):
        book(small)
    lab = at_rest(small)
    later = lab.ledger.office.take_lease("d2", host="", pid=1, observed=None, op_id=lab.op())
    lab.ledger.office.leave_lease(later, op_id=lab.op())
    with pytest.raises(Stale, match="another daemon has come"):
        book(lab)
    assert balance(lab) == (10 * USD, 0, 0)


def test_a_stale_daemon_neither_reserves_overhead_nor_settles(small: Laboratory) -> None:
    key = small.reserve(small.queue(), USD)
    small.epoch += 1
    with pytest.raises(Stale):
        small.settle(key)
    with pytest.raises(Stale):
        small.accounts.reserve_overhead("x", 1, (BUDGET,), price_usd_h=0.0, epoch=small.epoch, op_id=small.op())
    assert balance(small) == (9 * USD, USD, 0)


def test_a_cap_that_is_lowered_below_what_is_out_reserves_nothing_more(small: Laboratory) -> None:
    small.reserve(small.queue(), 6 * USD)
    assert small.accounts.set_cap(BUDGET, 4 * USD, op_id=small.op()) == Budget(
        id=BUDGET, cap=4 * USD, free=-2 * USD, reserved=6 * USD)
    with pytest.raises(OverBudget):
        small.reserve(small.queue(), 1)
    small.accounts.set_cap(BUDGET, 7 * USD, op_id=small.op())
    small.reserve(small.queue(), USD)
    assert balance(small) == (0, 7 * USD, 0)


def test_an_unknown_budget_or_reservation_refuses(small: Laboratory) -> None:
    id = small.queue()
    with pytest.raises(NotFound, match="no budget 'december'"):
        small.ledger.reserve(id, 1, ("december",), price_usd_h=1.0, epoch=small.epoch, op_id=small.op())
    with pytest.raises(NotFound, match="no reservation"):
        small.settle("e9.1")
    assert small.accounts.balance("december") is None
