"""Why a codec experiment came out as it did, in plain lines: the worst frame, where the bits went, the limit that was
hit. Pure, from the scores alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.experiment import Scores
from lab.track import Goal

Values = Mapping[str, float | None]


def explain(scores: Scores, goals: Sequence[Goal]) -> str:
    """One to three sentences. Empty scores give an empty text."""
    if not scores.clips:
        return ""
    return " ".join(part for part in (_worst(scores), _bits(scores), _limit(scores, goals)) if part)


def _worst(scores: Scores) -> str:
    known = _known(scores, "worst_psnr_y_db")
    if not known:
        return ""
    clip, worst = min(known.items(), key=lambda pair: pair[1])
    values = scores.clips[clip]
    return f"Worst frame: {clip} #{values.get('worst_frame') or 0:.0f}, {worst:.1f} dB (clip {_db(values)})."


def _bits(scores: Scores) -> str:
    rates = _known(scores, "bitrate_mbps")
    if not rates:
        return ""
    hungry = max(rates, key=rates.__getitem__)
    share = 100 * rates[hungry] / sum(rates.values())
    notes = [f"{hungry} takes {share:.0f} % of the rate" if len(rates) > 1 else f"{rates[hungry]:.3g} Mbps"]
    keys = scores.clips[hungry].get("key_bytes_pct")
    if keys is not None:
        notes.append(f"key frames take {keys:.0f} % of its bytes")
    return f"Bits: {', '.join(notes)}."


def _known(scores: Scores, metric: str) -> dict[str, float]:
    return {clip: value for clip, values in scores.clips.items() if (value := values.get(metric)) is not None}


def _limit(scores: Scores, goals: Sequence[Goal]) -> str:
    missed = [f"{goal.metric} {value:.4g} ({goal.relation} {goal.value:g})" for goal in goals
              if (value := scores.mean.get(goal.metric)) is not None and not _meets(goal, value)]
    return f"Limit: {'; '.join(missed)}." if missed else ""


def _meets(goal: Goal, value: float) -> bool:
    return value <= goal.value if goal.relation == "<=" else value >= goal.value


def _db(values: Values) -> str:
    mean = values.get("psnr_y_db")
    return "mean unknown" if mean is None else f"mean {mean:.1f}"
