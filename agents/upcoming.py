"""What the laboratory does next, as far as it is known: said by the rules that the daemon goes by. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from agents.data import Best, Lab, Money, Row
from agents.words import moment
from lab.experiment import Scores
from lab.judging.champion import ConfirmState, missing_seeds
from lab.money import usd
from lab.settings import Settings
from lab.track import Track
from lab.words import count


def upcoming(lab: Lab, money: Money, settings: Settings, track: Track, rows: Sequence[Row], best: Best | None,
             challenger: str, confirms: Mapping[str, Mapping[int, ConfirmState]],
             anchors: Mapping[str, Scores]) -> list[str]:
    states = Counter(row.state for row in rows)
    lines = [*_said(lab), *_money(money, lab)]
    if waiting := states["queued"] + states["proposed"]:
        lines.append(f"{count(waiting, 'experiment')} waiting for a worker")
    if lab.ideas:
        lines.append(f"{count(lab.ideas, 'idea')} of a person to be proposed")
    lines += _confirming(best, challenger, confirms)
    missing = len(track.anchors) - len(anchors)
    if missing:
        lines.append(f"{missing} of {count(len(track.anchors), 'anchor')} are not measured; what depends on them "
                     f"is pending")
    return [*lines, _limits(settings)]


def _said(lab: Lab) -> list[str]:
    rented = lab.address.startswith("aws:")
    if lab.final:
        return [f"the run has ended; `aether {'resume' if rented else 'run'}` carries on from here"]
    if lab.stop:
        return ["a person said stop: nothing new begins" + (", what runs is handed back" if lab.stop == "now" else "")]
    if lab.held:
        way_on = "`aether budget set` raises it, `aether budget override` lets it go on"
        return [f"held by the budget guard, since {lab.held}: {way_on}"]
    if lab.paused:
        return ["paused: what runs goes on, nothing new begins until `aether resume`"]
    if lab.dead_since is not None and rented:
        return ["nothing happens until the orchestrator is back; `aether doctor` tells what keeps it"]
    if lab.lives is False and rented:
        return [("nobody runs the lab: without footage add some (`aether clips add`), else `aether resume` goes on; "
                 "`aether doctor` tells what keeps an orchestrator")]
    if lab.lives is False:
        return ["nothing happens until `aether run` is started; it carries on from here"]
    return []


def _money(money: Money, lab: Lab) -> list[str]:
    tight = [line for line in money.budgets if line.level != "ok"]
    says = {"medium": "a warning", "high": "no new training", "critical": "everything stops"}
    lines = [f"the budget of {line.name} is at level {line.level.upper()}: {says[line.level]}" for line in tight]
    if money.projected is not None and money.forecast != "ok" and not tight:
        lines.append(f"at this rate the month would end at {usd(money.projected)}, level {money.forecast.upper()} of "
                     f"its cap: a warning, which stops nothing before the money is spent")
    if lab.override_until:
        lines.append(f"a person has overridden the levels of the budget until {moment(lab.override_until)}: nothing "
                     f"stops before its cap")
    return lines


def _confirming(best: Best | None, challenger: str, confirms: Mapping[str, Mapping[int, ConfirmState]]) -> list[str]:
    id = challenger or (best.id if best else "")
    if not id or (best and id == best.id and best.standing.status in ("confirmed", "refuted", "unproven")):
        return []
    left = len(missing_seeds(confirms.get(id, {}))) + sum(s == "live" for s in confirms.get(id, {}).values())
    return [f"{id} is believed only after {count(left, 'more run')} on clips that no designer has seen"]


def _limits(settings: Settings) -> str:
    limits, ends = settings.limits, list[str]()
    if limits.experiments is not None:
        ends.append(f"after {count(limits.experiments, 'experiment')}")
    if limits.minutes is not None:
        ends.append(f"after {count(limits.minutes, 'minute')}")
    if limits.stop_at_goal:
        ends.append("when a confirmed champion meets every goal")
    ends.append("when no reservation fits the budget")
    return f"a run ends {', or '.join(ends)}"
