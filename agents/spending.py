"""The money: what was settled in the last hour, day and month, what is left, and where the month would end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from agents.data import BudgetLine, Money
from agents.reconciliation import reconcile
from agents.words import DAY_S, HOUR_S
from lab.clock import month_key
from lab.forecast import forecast_level, month_end
from lab.ledger import Ledger
from lab.money import RECENT, Budget, Entry, Level, Microusd, expected_cost, level_of, worst_level
from lab.settings import Settings


def spending(ledger: Ledger, now: float, running: int) -> Money:
    entries, month = list(ledger.accounts.entries()), month_key(now)
    expected = _expected(ledger, running)
    by_what: defaultdict[str, Microusd] = defaultdict(int)
    for entry in entries:
        if month_key(entry.at) == month:
            by_what[entry.what] += entry.amount
    day, spent, month_budget = _since(entries, now - DAY_S), sum(by_what.values()), ledger.accounts.balance(month)
    projected = month_end(spent, day, now)
    return Money(hour=_since(entries, now - HOUR_S), day=day, month=spent, by_what=dict(by_what),
                 projected=projected, expected=expected, bill=reconcile(ledger.accounts.bill(), entries),
                 forecast=forecast_level(projected, month_budget.cap) if month_budget is not None else "ok",
                 budgets=tuple(BudgetLine(name=name, budget=budget,
                                          level=level_of(budget.spent, expected, budget.cap))
                               for name, budget in _in_force(ledger, month)))


def in_force(ledger: Ledger, settings: Settings, now: float, closed_by: Sequence[str] = ()) -> list[Budget]:
    """The budgets that the daemon goes by: the month's, and that of a run that has one and lives. One of those that
    closed the lab stays in force after its run has ended, until the next begins."""
    ids, lease = [month_key(now)], ledger.office.lease()
    run = f"run-{lease.run}" if lease else ""
    if settings.budget.run_usd is not None and lease and (lease.carried or run in closed_by):
        ids.append(run)
    return [budget for id in ids if (budget := ledger.accounts.balance(id)) is not None]


def level_of_all(ledger: Ledger, budgets: Sequence[Budget]) -> Level:
    """The worst level of these, for whoever has no daemon's view of the ledger."""
    return worst_level(budgets, _expected(ledger, sum(1 for _ in ledger.all_experiments("running"))))


def _expected(ledger: Ledger, running: int) -> Microusd:
    recent = [entry.amount for entry in ledger.accounts.latest_attempts(RECENT)]
    return expected_cost(running, recent, ledger.accounts.open_reservations())


def _in_force(ledger: Ledger, month: str) -> list[tuple[str, Budget]]:
    lease = ledger.office.lease()
    named = {f"month {month}": month} | ({"this run": f"run-{lease.run}"} if lease else {})
    found = {name: ledger.accounts.balance(id) for name, id in named.items()}
    return [(name, budget) for name, budget in found.items() if budget is not None]


def _since(entries: list[Entry], start: float) -> Microusd:
    return sum(entry.amount for entry in entries if entry.at >= start)
