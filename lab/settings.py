"""The settings of a laboratory: one `aether.toml`, every key documented here, wrong keys and values refused by line.

`parse` reads a file's text; `default_text` writes a commented one, made from the same descriptions, so the two cannot
drift apart. A revision of the text is kept in the ledger and its number recorded with each experiment.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lab.errors import SettingsError
from lab.experiment import Terms, TrainingLimit
from lab.space import Value
from lab.track import Goal, Track

DEFAULT_STEPS = 600
TERMS = Terms()
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabSection(Section):
    """What this laboratory is."""

    name: str = Field(default="lab", description="shown in reports and mails")
    track: str = Field(default="codec", description="the installed track whose experiments run here")


class BudgetSection(Section):
    """Hard caps. Money is reserved before it can be spent, so a cap is never passed."""

    monthly_usd: Positive = Field(default=20.0, description="cap of the calendar month (UTC)")
    run_usd: Positive | None = Field(default=None, description="cap of one run, if any")


class PricesSection(Section):
    """What an hour costs. A job class without a price does not run."""

    cpu_usd_h: Positive = Field(default=0.05,
                                description="one worker of the class cpu; on your own machine, your electricity")
    gpu_usd_h: Positive | None = Field(default=None, description="one worker of the class gpu")
    overhead_usd_h: Positive = Field(default=0.005, description="the orchestrator itself, reserved by the hour")

    def by_class(self) -> dict[str, float]:
        found = {"cpu": self.cpu_usd_h, "gpu": self.gpu_usd_h}
        return {name: price for name, price in found.items() if price is not None}


class DesignersSection(Section):
    """Who proposes experiments."""

    evolution: float = Field(default=1.0, ge=0,
                             description="weight of `evolution` (Optuna's TPE) beside the control share")
    control_share: float = Field(default=0.15, ge=0.15, le=1,
                                 description="least share of `control`, the uniform baseline")
    families: tuple[str, ...] | None = Field(
        default=None, description="families to explore, such as [\"classic\"]; [] for none, left out for all that can")
    pinned: dict[str, dict[str, Value]] | None = Field(
        default=None, description="what does not vary, such as { restore = { steps = 500 } }")
    window: int = Field(default=4, ge=1, le=64,
                        description="with a seed, proposal k sees the first k - window outcomes")

    def mix(self) -> dict[str, float]:
        return {"evolution": self.evolution} if self.evolution > 0 else {}


class TrainingSection(Section):
    """How long a network is trained: a number of steps repeats anywhere; seconds compare on one device class alone."""

    steps: int | None = Field(default=None, ge=1, description="steps of each training; 600 where seconds is left out")
    seconds: Positive | None = Field(default=None, description="wall clock of each training, in place of steps")
    device_class: str | None = Field(default=None, description="where seconds count; `aether doctor` names this one")

    @model_validator(mode="after")
    def one_limit(self) -> TrainingSection:
        if self.steps is not None and self.seconds is not None:
            raise ValueError("give steps or seconds, not both")
        if self.seconds is not None and not self.device_class:
            raise ValueError("seconds need a device_class, since they compare on one alone; `aether doctor` names it")
        return self

    def limit(self) -> TrainingLimit:
        if self.seconds is not None:
            return TrainingLimit(seconds=self.seconds, device_class=self.device_class)
        return TrainingLimit(steps=self.steps or DEFAULT_STEPS)


class LimitsSection(Section):
    """When to stop, and how long things may take."""

    experiments: int | None = Field(default=None, ge=1,
                                    description="stop after so many explored experiments in this run")
    minutes: Positive | None = Field(default=None, description="stop after so many minutes")
    stop_at_goal: bool = Field(default=True, description="stop when a confirmed champion meets every goal")
    workers: int = Field(default=1, ge=1, le=64, description="worker processes of `aether run`")
    threads: int = Field(default=TERMS.threads, ge=1, le=64, description="threads of each encoder and network")
    phase_s: Positive = Field(default=TERMS.phase_s,
                              description="wall clock of one phase; what takes longer ends as `timeout`")
    memory_mb: int = Field(default=TERMS.memory_mb, ge=256, description="memory of one phase")
    checkpoint_s: Positive = Field(default=TERMS.checkpoint_s,
                                   description="between checkpoints of a training: what a crash may cost")
    lost_attempts: int = Field(default=TERMS.lost_attempts, ge=1,
                               description="silent ends that an experiment may have in all; one more, and it ends as "
                                           "`poison`, whatever it has kept")
    lease_s: Positive = Field(default=TERMS.lease_s,
                              description="a worker that is silent for so long has lost its experiment")
    beat_s: Positive = Field(default=TERMS.beat_s, description="a worker's heartbeat")
    grace_s: Positive = Field(default=TERMS.grace_s,
                              description="a worker stops itself so long before its lease runs out")

    @model_validator(mode="after")
    def leases_make_sense(self) -> LimitsSection:
        if self.lease_s < self.grace_s + 2 * self.beat_s:
            raise ValueError("lease_s must be at least grace_s + 2 x beat_s, or one late heartbeat ends a lease")
        return self

    def terms(self) -> Terms:
        """What the next attempt is held to."""
        return Terms(lease_s=self.lease_s, beat_s=self.beat_s, grace_s=self.grace_s, phase_s=self.phase_s,
                     checkpoint_s=self.checkpoint_s, memory_mb=self.memory_mb, threads=self.threads,
                     lost_attempts=self.lost_attempts)


class ReportSection(Section):
    """What the lab tells you."""

    hourly: bool = Field(default=True, description="a report every hour, beside the one at the end")


class GoalSection(Section):
    metric: str = Field(description="a metric of the track, such as bitrate_mbps")
    relation: Literal["<=", ">="]
    value: float
    scope: Literal["mean", "every", "share"] = Field(default="mean",
                                                     description="over the clips: their mean, every one, a share")
    share: float = Field(default=1.0, gt=0, le=1,
                         description="with the scope `share`: the least part that must meet it")


class ClipSection(Section):
    path: str = Field(description="a video file, relative to this file")
    role: Literal["train", "score", "confirm"]


class Settings(Section):
    lab: LabSection = LabSection()
    budget: BudgetSection = BudgetSection()
    prices: PricesSection = PricesSection()
    designers: DesignersSection = DesignersSection()
    training: TrainingSection = TrainingSection()
    limits: LimitsSection = LimitsSection()
    report: ReportSection = ReportSection()
    goals: tuple[GoalSection, ...] | None = Field(default=None, description="leave out for the track's own")
    clips: tuple[ClipSection, ...] = ()


def parse(text: str, source: str = "aether.toml") -> Settings:
    """The settings in `text`. Raises SettingsError with `source`, the line, and the reason of each fault."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source}: {error}") from error
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        faults = [f"{source}:{_line_of(text, e['loc'])}: {_reason(e)}" for e in error.errors()]
        raise SettingsError("\n".join(faults)) from error


def goals_of(settings: Settings, track: Track) -> tuple[Goal, ...]:
    """The person's goals, or the track's own."""
    if settings.goals is None:
        return track.goals
    return tuple(Goal(**goal.model_dump()) for goal in settings.goals)


def require_metrics(settings: Settings, track: Track) -> None:
    """Raises NotFound for a goal on a metric that the track has not: it would stay unknown for ever."""
    for goal in settings.goals or ():
        track.metric(goal.metric)


def default_text() -> str:
    """A commented file with every key at its default; goals and clips as examples."""
    sections = [_section_text(name, field.annotation) for name, field in Settings.model_fields.items()
                if isinstance(field.annotation, type) and issubclass(field.annotation, Section)]
    head = "# Settings of an Aether laboratory. Every key is here with its default; remove what you do not change."
    return f"{head}\n\n" + "\n".join(sections) + EXAMPLES


EXAMPLES = """
# Goals: leave them out for the track's own (for codecs: 1.0 Mbps or less at PSNR-Y 35 dB and SSIM 0.95).
# [[goals]]
# metric = "bitrate_mbps"
# relation = "<="
# value = 1.0
# scope = "mean"          # or "every", or "share" with share = 0.8

# Footage: any video file. Roles: train, score (designers see its results), confirm (nobody does).
# [[clips]]
# path = "clips/drive.mp4"
# role = "score"
"""


def _section_text(name: str, section: type[Section]) -> str:
    lines = [f"# {(section.__doc__ or '').strip()}", f"[{name}]"]
    for key, field in section.model_fields.items():
        value = field.default
        shown = f"# {key} =" if value is None else f"{key} = {_toml(value)}"
        lines.append(f"{shown:<26}  # {field.description}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value}"


def _reason(error: Mapping[str, Any]) -> str:
    """One line: which key, what is wrong, what would be right."""
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key {path}; {_known_keys(error['loc'])}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{path}: {message}" if error["type"] == "missing" else f"{path} = {error['input']!r}: {message}"


def _known_keys(location: tuple[Any, ...]) -> str:
    parts = [part for part in location[:-1] if isinstance(part, str)]
    model: Any = Settings
    if parts:
        model = {"goals": GoalSection, "clips": ClipSection}.get(parts[0]) or Settings.model_fields[parts[0]].annotation
    return "known here: " + ", ".join(model.model_fields)


def _line_of(text: str, location: tuple[Any, ...]) -> int:
    """The line of a key in the file: the n-th `[[table]]` or the `[table]`, then `key =` below it."""
    table = str(location[0]) if location else ""
    nth = next((part for part in location if isinstance(part, int)), 0)
    key = str(location[-1]) if len(location) > 1 and isinstance(location[-1], str) else ""
    heads = [n for n, line in enumerate(text.splitlines(), 1) if re.match(rf"\s*\[\[?\s*{re.escape(table)}\s*\]", line)]
    start = heads[nth] if nth < len(heads) else 1
    for number, line in enumerate(text.splitlines()[start - 1:], start):
        if number > start and re.match(r"\s*\[", line):
            break
        if re.match(rf"\s*{re.escape(key or table)}\s*=", line):
            return number
    return start
