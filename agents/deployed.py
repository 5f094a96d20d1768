"""What a deploy does with the lab's settings: it puts its file in force where nothing is, and tells what differs later.

A lab whose settings were pushed is not changed by a deploy: whoever pushed them may be another person than deploys.
"""

from __future__ import annotations

from agents.gather import settings_in_force
from lab.clock import month_key
from lab.ledger import Ledger
from lab.money import to_micro
from lab.settings import changes, parse

LONGEST = 2000  # characters: CloudFormation takes four thousand bytes of an answer
WITHOUT_FILE = "[budget]\nmonthly_usd = {}\n"  # the cap that the deploy names, and every default beside it


def adopt(ledger: Ledger, address: str, text: str, monthly_usd: str, now: float) -> str:
    """Gives one line for the person who deploys. `text` is the file's, empty where there is none."""
    if not ledger.office.control().settings:
        return _first(ledger, text or WITHOUT_FILE.format(monthly_usd), now)
    revision = f"revision {ledger.office.control().settings}"
    if not text:
        return f"{revision} stays in force"
    differs = changes(settings_in_force(ledger), parse(text))
    if not differs:
        return f"{revision} is in force, and says what the file says"
    words = "; ".join(f"{name}: {_word(before)} → {_word(after)}" for name, (before, after) in differs.items())
    return (f"{revision} stays in force; `aether settings push --backend {address}` would change "
            f"{words}")[:LONGEST]


def _word(value: object) -> str:
    return "not set" if value is None else str(value)


def _first(ledger: Ledger, text: str, now: float) -> str:
    """An orchestrator that was there before has opened this month with the default cap."""
    revision = ledger.office.push_settings(text, op_id="settings of the first deploy")
    ledger.accounts.set_cap(month_key(now), to_micro(parse(text).budget.monthly_usd), op_id="cap of the first deploy")
    return f"revision {revision} is in force, by this deploy"
