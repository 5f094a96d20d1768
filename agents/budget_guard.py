"""The budget guard: sees that nothing is spent once the budget's last level is reached, whoever lives or not.

It finds the level as the daemon does, from the ledger, and beside it hears AWS's own bill, which sees what no ledger
can. At CRITICAL nothing new is dispatched (the ledger says so, and why), and the fleets are closed until nothing runs.
A person's override, a higher cap, a new month or a new run after one whose own budget closed the lab take back what the
guard did, and nothing else. Each change is logged; one to HIGH or CRITICAL is mailed, once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
import structlog

from agents.spending import in_force, level_of_all
from agents.words import moment
from lab.backend import Backend
from lab.canonical import fingerprint
from lab.clock import month_key
from lab.control import Control, Guarded, Report
from lab.errors import Stale, Unavailable
from lab.ledger import Ledger
from lab.money import LEVELS, SEVERITY, Level, usd
from lab.settings import Settings

TURNS = 8  # looks within one call, where other guards are quicker
PASSES, PAUSE_S = 16, 15.0  # looks at fleets that are to end, within one call: longer than their hook waits
MAILED = ("high", "critical")
BY_LEDGER = "the budget is at 95 %"
BY_BILL = "AWS's own bill of the month is at 95 % of its budget"
AMOUNT = r"{}:\s*\$([\d,]+(?:\.\d+)?)"

log = structlog.get_logger("budget-guard")


class Fleets(Protocol):
    def close(self) -> int: ...

    def open(self, maxima: Mapping[str, int]) -> None: ...


def look(backend: Backend, fleets: Fleets, settings: Settings, maxima: Mapping[str, int], now: float, *,
         bill: bool = False) -> Guarded:
    """How the money is, written down where it has changed; fleets that it closed open again where it may. Gives what
    was found: where that is `closed`, `close` follows. `bill`: AWS says that its own budget is at the last level.
    `maxima` are what the fleets get back. Where another guard was quicker it looks again, at what that one wrote.
    Raises Unavailable: then it is to be called again."""
    for _ in range(TURNS):
        try:
            return _look(backend, fleets, settings, maxima, now, bill)
        except Stale as error:
            log.info("the guard looks again", why=str(error))
    raise Unavailable(f"other guards were quicker {TURNS} times in a row; look again")


def close(backend: Backend, fleets: Fleets, maxima: Mapping[str, int], pause: Callable[[float], None]) -> None:
    """Until nothing runs, for as long as one call may take; the next look goes on. If another guard has opened the lab
    meanwhile, what was closed since is opened too: no later look would. Raises Unavailable."""
    for _ in range(PASSES):
        left = fleets.close()
        if not backend.ledger.office.guarded().closed:
            fleets.open(maxima)
            return
        if not left:
            return
        log.info("fleets are being closed", instances=left)
        pause(PAUSE_S)
    log.error("instances are left; the next look goes on")


def over_the_bill(message: str, budget: str) -> bool:
    """Whether this notification of AWS Budgets says that `budget`, whose name goes on with a hash, is at the last level
    by what was really billed."""
    ours = re.search(rf"Budget Name:\s*{re.escape(budget)}-[0-9a-f]{{6}}\s", message)
    if not ours or "Alert Type: ACTUAL" not in message:
        return False
    amounts = [re.search(AMOUNT.format(name), message) for name in ("Budgeted Amount", "ACTUAL Amount")]
    cap, billed = (float(found[1].replace(",", "")) if found else 0.0 for found in amounts)
    return cap > 0 and billed >= LEVELS[0][0] * cap


def _look(backend: Backend, fleets: Fleets, settings: Settings, maxima: Mapping[str, int], now: float,
          bill: bool) -> Guarded:
    office, month = backend.ledger.office, month_key(now)
    before, control = office.guarded(), office.control()
    budgets = in_force(backend.ledger, settings, now, before.closed_by)
    caps = ", ".join(f"{budget.id} {usd(budget.cap)}" for budget in budgets)
    same = caps == before.caps
    billed = month if bill or before.billed == month else ""
    # What closed a lab ends its work, and so the cost that was expected: that alone must not open it again.
    level: Level = "critical" if billed or (same and before.closed) else level_of_all(backend.ledger, budgets)
    stops = level == "critical" and control.override_until <= now
    told: Level = before.told if same else "ok"
    mails = level in MAILED and (SEVERITY.index(level) > SEVERITY.index(told) or stops > before.closed)
    found = Guarded(n=before.n + 1, level=level, caps=caps, told=level if mails else told, billed=billed, closed=stops,
                    closed_by=tuple(budget.id for budget in budgets) if stops else ())
    held = (BY_BILL if billed else BY_LEDGER) if stops else ""
    if before.closed and not stops:
        fleets.open(maxima)
    if msgspec.structs.replace(found, n=before.n) != before or held != control.held:
        log.warning("the budget", at=level, closed=stops, overridden_until=_overridden(control, now),
                    by="the bill" if billed else "the ledger")
        office.guard(found, held, _told(backend.ledger, settings, found, control, now) if mails else None,
                     op_id=f"guard.{found.n}.{fingerprint((found, held))}")
    return found


def _overridden(control: Control, now: float) -> str:
    return moment(control.override_until) if control.override_until > now else ""


def _told(ledger: Ledger, settings: Settings, found: Guarded, control: Control, now: float) -> Report:
    """The mail of a change for the worse, which says what a person can do."""
    if found.level == "high":
        why, then = "the budget is at 85 %", ["From here on nothing new is trained."]
    else:
        why, then = BY_BILL if found.billed else BY_LEDGER, [
            "Nothing new begins, the fleets are closed and their instances are ended; what they did is kept.",
            "To go on: `aether budget set USD` for a higher cap of this month, or `aether budget override HOURS`.",
            "Within ten minutes the fleets may grow again. Otherwise a new month begins it."]
        if found.billed:
            then[1] = "To go on, since no cap of the lab's changes a bill: `aether budget override HOURS`."
        if overridden := _overridden(control, now):
            then = [f"A person has overridden the levels until {overridden}: nothing stops before the cap."]
    balance = ledger.accounts.balance(month_key(now))
    money = f"{usd(balance.spent)} of {usd(balance.cap)} spent, {usd(balance.reserved)} reserved." if balance else ""
    return Report(key=f"guard-{found.n:06d}", subject=f"{settings.lab.name}: {why}", at=now,
                  text="\n".join(filter(None, [f"{moment(now)}: {why}.", money, "", *then])) + "\n")
