"""What a deploy does with the lab's settings: it puts its file in force where nothing is, and tells what differs later.

A lab whose settings were pushed is not changed by a deploy: whoever pushed them may be another person than deploys.
"""

from __future__ import annotations

from agents.gather import settings_in_force
from lab.clock import month_key
from lab.ledger import Ledger
from lab.money import to_micro
from lab.settings import Settings, changes, parse, shown

WITHOUT_FILE = "[budget]\nmonthly_usd = {}\n"  # the cap that the deploy names, and every default beside it


def adopt(ledger: Ledger, address: str, text: str, monthly_usd: str, now: float) -> str:
    """Gives one line for the person who deploys. `text` is the file's, empty where there is none."""
    if not ledger.office.control().settings:
        return _first(ledger, text or WITHOUT_FILE.format(monthly_usd), now)
    revision = f"revision {ledger.office.control().settings}"
    if not text:
        cap = settings_in_force(ledger).budget.monthly_usd
        other = f", with its cap of {cap:g} dollars a month and not {monthly_usd}" if cap != float(monthly_usd) else ""
        return f"{revision} stays in force{other}"
    differs = changes(settings_in_force(ledger), parse(text))
    if not differs:
        return f"{revision} is in force, and says what the file says"
    words = "; ".join(f"{name}: {shown(before)} → {shown(after)}" for name, (before, after) in differs.items())
    return f"{revision} stays in force; `aether settings push --backend {address}` would change {words}"


def _first(ledger: Ledger, text: str, now: float) -> str:
    """The cap first: once settings are in force nobody comes back for it. An orchestrator that was there before has
    opened this month with the default; what a person has set stays."""
    month, default = month_key(now), to_micro(Settings().budget.monthly_usd)
    opened = ledger.accounts.balance(month)
    if opened is None or opened.cap == default:
        ledger.accounts.set_cap(month, to_micro(parse(text).budget.monthly_usd), op_id="cap of the first deploy")
    revision = ledger.office.push_settings(text, op_id="settings of the first deploy")
    return f"revision {revision} is in force, by this deploy"
