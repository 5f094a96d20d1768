"""`aether budget`: the money by hour, day, month and run, the month's cap, and a person's word against the levels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from agents.reconciliation import Reconciliation, bill_lines, reconcile
from cli.output import DEFAULT_BACKEND, BackendOption, JsonOption, console, emit, group, moment, new_op, open_lab, table
from cli.watch import MoneyLine, Watch
from lab.clock import month_key
from lab.errors import UserError
from lab.forecast import forecast_level, month_end
from lab.money import Bill, Entry, Level, to_micro, usd

HOUR_S, DAY_S = 3600.0, 86400.0
SPENT_ON = {"attempt": "attempts", "overhead": "overhead", "model": "model calls"}
LONGEST_H = 31 * 24.0
NEGATIVES = {"ignore_unknown_options": True}  # so that -3 is a number that we refuse, and no option that nobody knows

app = group("show")


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Micro-dollars. `by_what`: attempts, the house itself, model calls, this month. `month_end`: where it would end if
    every day cost what the last one did, and `forecast` the level of that, which warns and stops nothing."""

    budgets: tuple[MoneyLine, ...]
    last_hour: int
    last_day: int
    by_what: dict[str, int]
    month_end: int | None = None
    forecast: Level = "ok"
    reconciliation: Reconciliation | None = None  # with the bill of an account
    schema: int = 1


@app.command()
def show(backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """What is spent, reserved and free, against each cap."""
    watch = Watch(open_lab(backend))
    accounts = watch.ledger.accounts
    found = money(watch.status(time.time()).money, list(accounts.entries()), time.time(), accounts.bill())
    if json:
        emit(found)
        return
    if not found.budgets:
        console().print("nothing was spent this month, and no cap is open; the first run opens one", markup=False)
        return
    out = console()
    out.print(table("budget", "spent", "reserved", "free", "cap", "level",
                    right=("spent", "reserved", "free", "cap"),
                    rows=[[line.budget, usd(line.spent), usd(line.reserved), usd(line.free), usd(line.cap), line.level]
                          for line in found.budgets]))
    parts = [f"{usd(amount)} for {SPENT_ON[what]}" for what, amount in sorted(found.by_what.items())]
    out.print(f"\nLast hour {usd(found.last_hour)}, last day {usd(found.last_day)}. This month: "
              f"{', '.join(parts) or 'nothing settled yet'}.", markup=False)
    for line in (*_forecast(found), *bill_lines(found.reconciliation)):
        out.print(f"{line[0].upper()}{line[1:]}.", markup=False)


@app.command("set", context_settings=NEGATIVES)
def set_(usd_a_month: Annotated[float, typer.Argument(metavar="USD", help="Cap of this calendar month (UTC).")],
         backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Change this month's cap at once. The settings give the cap of the months to come."""
    if not 0 <= usd_a_month < 1e9:
        raise UserError(f"{usd_a_month:g} is no budget: it is 0 or more USD, such as `aether budget set 20`")
    month = month_key(time.time())
    budget = open_lab(backend).ledger.accounts.set_cap(month, to_micro(usd_a_month), op_id=new_op("cap"))
    if json:
        emit(budget)
        return
    taken = "; all of it is spent or reserved, so nothing new starts" if budget.cap else "; so nothing new starts"
    tail = "" if budget.free > 0 else taken
    console().print(f"{month}: {usd(budget.cap)}, of which {usd(budget.free)} is free{tail}", markup=False,
                    soft_wrap=True)


@app.command(context_settings=NEGATIVES)
def override(hours: Annotated[float, typer.Argument(metavar="HOURS", help="For so long; 0 takes it back.")],
             backend: BackendOption = DEFAULT_BACKEND, json: JsonOption = False) -> None:
    """Let a run go on at 85 % and 95 % of its budget, up to the cap itself, which always holds."""
    if not 0 <= hours <= LONGEST_H:
        raise UserError(f"{hours:g} is no time for an override; give hours, such as `aether budget override 6`, or 0 "
                        f"to take it back")
    until = time.time() + hours * HOUR_S if hours else 0.0
    control = open_lab(backend).ledger.office.set_control(override_until=until, op_id=new_op("override"))
    if json:
        emit(control)
    elif hours:
        console().print(f"until {moment(until)} UTC no level of the budget stops a run; its caps still do",
                        markup=False, soft_wrap=True)
    else:
        console().print("the levels of the budget count again", markup=False)


def money(budgets: tuple[MoneyLine, ...], entries: Sequence[Entry], now: float, bill: Bill | None = None) -> Money:
    """The settled entries, by how long ago and by what for, and where that leads."""
    hour = day = 0
    by_what: dict[str, int] = {}
    for entry in entries:
        hour += entry.amount if now - entry.at <= HOUR_S else 0
        day += entry.amount if now - entry.at <= DAY_S else 0
        if month_key(entry.at) == month_key(now):
            by_what[entry.what] = by_what.get(entry.what, 0) + entry.amount
    cap = next((line.cap for line in budgets if line.budget == "month"), 0)
    end = month_end(sum(by_what.values()), day, now)
    return Money(budgets=budgets, last_hour=hour, last_day=day, by_what=by_what, month_end=end,
                 forecast=forecast_level(end, cap) if cap else "ok", reconciliation=reconcile(bill, entries))


def _forecast(found: Money) -> list[str]:
    if found.month_end is None:
        return []
    warns = ""
    if found.forecast != "ok":
        warns = f"; that would be {found.forecast}, which warns and stops nothing by itself"
    return [f"projected month's end {usd(found.month_end)}, if every day costs what the last 24 h did{warns}"]
