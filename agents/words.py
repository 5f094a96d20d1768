"""How reports say numbers, durations, moments and configurations: short, with units, the same in text and page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from lab.experiment import Scores
from lab.space import Value
from lab.track import Track

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
NOT_MEASURED = "not measured"


def number(value: float) -> str:
    """Four digits: 35.12, 0.9531, 12,345."""
    told = f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return told.replace("-", "−")


def quantity(value: float | None, unit: str, why: str = "") -> str:
    """A number with its unit, or why there is none."""
    if value is None:
        return why if why.startswith(("not ", "pending")) else f"{NOT_MEASURED}: {why}" if why else NOT_MEASURED
    return f"{number(value)} {unit}".rstrip()


def metric(scores: Scores, name: str, track: Track) -> str:
    """The mean over the clips, as it is told: with its unit, marked where only the candidate says so."""
    told = quantity(scores.mean.get(name), track.metric(name).unit, scores.why.get(name, ""))
    return f"{told} (claimed)" if scores.provenance.get(name) == "claimed" else told


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def duration(seconds: float) -> str:
    """12 s, 5 min, 2 h 5 min, 3 d 4 h."""
    if seconds < MINUTE_S:
        return f"{max(seconds, 0):.0f} s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S:.0f} min"
    if seconds < DAY_S:
        return f"{seconds // HOUR_S:.0f} h {seconds % HOUR_S // MINUTE_S:.0f} min"
    return f"{seconds // DAY_S:.0f} d {seconds % DAY_S // HOUR_S:.0f} h"


def moment(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M UTC")


def configuration(family: str, params: Mapping[str, Value]) -> str:
    return f"{family}: " + ", ".join(f"{name} {spoken(value)}" for name, value in params.items())


def spoken(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def plain(text: str) -> str:
    """One line without control characters: what a candidate wrote must not speak to a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shortened(text: str, most: int) -> str:
    """One plain line of at most so many characters."""
    line = plain(text)
    return line if len(line) <= most else line[:most - 1].rstrip() + "…"
