"""The settings of a laboratory: one `aether.toml`, every key documented here, wrong keys and values refused by line.

`parse` reads a file's text; `default_text` writes a commented one, made from the same descriptions, so the two cannot
drift apart. A revision of the text is kept in the ledger and its number recorded with each experiment.
"""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from lab.errors import SettingsError
from lab.experiment import Terms, TrainingLimit
from lab.reading import Fault, Place, read
from lab.space import Value
from lab.track import Goal, Track

SETTINGS_FILE = "aether.toml"
DEFAULT_STEPS = 600
TERMS = Terms()
Positive = Annotated[float, Meta(gt=0)]
Whole = Annotated[int, Meta(ge=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the file. What a key means is the `description` of its type."""


class LabSection(Section, frozen=True, kw_only=True):
    """What this laboratory is."""

    name: Annotated[str, Meta(description="shown in reports and mails")] = "lab"
    track: Annotated[str, Meta(description="the installed track whose experiments run here")] = "codec"


class BudgetSection(Section, frozen=True, kw_only=True):
    """Hard caps. Work is reserved before it may begin, and none passes a cap."""

    monthly_usd: Annotated[Positive, Meta(description="cap of the calendar month (UTC)")] = 20.0
    run_usd: Annotated[Positive | None, Meta(description="cap of one run, if any")] = None


class PricesSection(Section, frozen=True, kw_only=True):
    """What an hour costs on your own machine; on an account AWS says it. A job class without a price does not run."""

    cpu_usd_h: Annotated[Positive, Meta(
        description="one worker of the class cpu; on your own machine, your electricity")] = 0.05
    gpu_usd_h: Annotated[Positive | None, Meta(description="one worker of the class gpu")] = None
    overhead_usd_h: Annotated[Positive, Meta(description="the orchestrator itself, reserved by the hour")] = 0.005

    def by_class(self) -> dict[str, float]:
        found = {"cpu": self.cpu_usd_h, "gpu": self.gpu_usd_h}
        return {name: price for name, price in found.items() if price is not None}


class DesignersSection(Section, frozen=True, kw_only=True):
    """Who proposes experiments."""

    evolution: Annotated[float, Meta(
        ge=0, description="weight of `evolution` (Optuna's TPE) beside the control share")] = 1.0
    control_share: Annotated[float, Meta(
        ge=0.15, le=1, description="least share of `control`, the uniform baseline")] = 0.15
    families: Annotated[tuple[str, ...] | None, Meta(
        description="families to explore, such as [\"classic\"]; [] for none, left out for all that can")] = None
    pinned: Annotated[dict[str, dict[str, Value]] | None, Meta(
        description="what does not vary, such as { restore = { steps = 500 } }")] = None
    window: Annotated[int, Meta(
        ge=1, le=64, description="with a seed, proposal k sees the first k - window outcomes")] = 4

    def mix(self) -> dict[str, float]:
        return {"evolution": self.evolution} if self.evolution > 0 else {}


class TrainingSection(Section, frozen=True, kw_only=True):
    """How long a network is trained: a number of steps repeats anywhere; seconds compare on one device class alone."""

    steps: Annotated[Whole | None, Meta(description="steps of each training; 600 where seconds is left out")] = None
    seconds: Annotated[Positive | None, Meta(description="wall clock of each training, in place of steps")] = None
    device_class: Annotated[str | None, Meta(description="where seconds count; `aether doctor` names this one")] = None
    job_class: Annotated[Literal["cpu", "gpu"] | None, Meta(
        description="\"gpu\" for what learns to use this machine's, at prices.gpu_usd_h; on an account it always does"),
    ] = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.seconds is not None:
            raise ValueError("give steps or seconds, not both")
        if self.seconds is not None and not self.device_class:
            raise ValueError("seconds need a device_class, since they compare on one alone; `aether doctor` names it")

    def limit(self) -> TrainingLimit:
        if self.seconds is not None:
            return TrainingLimit(seconds=self.seconds, device_class=self.device_class)
        return TrainingLimit(steps=self.steps or DEFAULT_STEPS)


class LimitsSection(Section, frozen=True, kw_only=True):
    """When to stop, and how long things may take."""

    experiments: Annotated[Whole | None, Meta(description="stop after so many explored experiments in this run")] = None
    minutes: Annotated[Positive | None, Meta(description="stop after so many minutes")] = None
    stop_at_goal: Annotated[bool, Meta(description="stop when a confirmed champion meets every goal")] = True
    workers: Annotated[int, Meta(
        ge=1, le=1000, description="worker processes of `aether run`; on an account, how many work at once")] = 1
    threads: Annotated[int, Meta(ge=1, le=64, description="threads of each encoder and network")] = TERMS.threads
    phase_s: Annotated[Positive, Meta(
        description="wall clock of one phase; what takes longer ends as `timeout`")] = TERMS.phase_s
    memory_mb: Annotated[int, Meta(ge=256, description="memory of one phase")] = TERMS.memory_mb
    checkpoint_s: Annotated[Positive, Meta(
        description="between checkpoints of a training: what a crash may cost; on spot machines the least")
    ] = TERMS.checkpoint_s
    interruptions_per_h: Annotated[float, Meta(
        ge=0, description="how often AWS takes a spot machine away; with what a checkpoint takes, it decides how often "
                          "one is kept there")] = TERMS.interruptions_per_h
    lost_attempts: Annotated[Whole, Meta(
        description="silent ends that an experiment may have in all; one more, and it ends as `poison`, "
                    "whatever it has kept")] = TERMS.lost_attempts
    lease_s: Annotated[Positive, Meta(
        description="a worker that is silent for so long has lost its experiment")] = TERMS.lease_s
    beat_s: Annotated[Positive, Meta(description="a worker's heartbeat")] = TERMS.beat_s
    grace_s: Annotated[Positive, Meta(
        description="a worker stops itself so long before its lease runs out")] = TERMS.grace_s

    def __post_init__(self) -> None:
        if self.lease_s < self.grace_s + 2 * self.beat_s:
            raise ValueError("lease_s must be at least grace_s + 2 x beat_s, or one late heartbeat ends a lease")

    def terms(self) -> Terms:
        """What the next attempt is held to."""
        return Terms(lease_s=self.lease_s, beat_s=self.beat_s, grace_s=self.grace_s, phase_s=self.phase_s,
                     checkpoint_s=self.checkpoint_s, interruptions_per_h=self.interruptions_per_h,
                     memory_mb=self.memory_mb, threads=self.threads, lost_attempts=self.lost_attempts)


class ReportSection(Section, frozen=True, kw_only=True):
    """What the lab tells you."""

    hourly: Annotated[bool, Meta(description="a report every hour, beside the one at the end")] = True


class GoalSection(Section, frozen=True, kw_only=True):
    metric: Annotated[str, Meta(description="a metric of the track, such as bitrate_mbps")]
    relation: Literal["<=", ">="]
    value: float
    scope: Annotated[Literal["mean", "every", "share"], Meta(
        description="over the clips: their mean, every one, a share")] = "mean"
    share: Annotated[float, Meta(
        gt=0, le=1, description="with the scope `share`: the least part that must meet it")] = 1.0


class ClipSection(Section, frozen=True, kw_only=True):
    path: Annotated[str, Meta(description="a video file, relative to this file")]
    role: Literal["train", "score", "confirm"]


class Settings(Section, frozen=True, kw_only=True):
    lab: LabSection = LabSection()
    budget: BudgetSection = BudgetSection()
    prices: PricesSection = PricesSection()
    designers: DesignersSection = DesignersSection()
    training: TrainingSection = TrainingSection()
    limits: LimitsSection = LimitsSection()
    report: ReportSection = ReportSection()
    goals: tuple[GoalSection, ...] | None = None  # the track's own
    clips: tuple[ClipSection, ...] = ()


LISTS: dict[str, type[Section]] = {"goals": GoalSection, "clips": ClipSection}


def parse(text: str, source: str = "aether.toml") -> Settings:
    """The settings in `text`. Raises SettingsError with `source`, the line, and the reason of each fault."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source}: {error}") from error
    faults: list[Fault] = []
    settings = read(Settings, values, LISTS, faults)
    if settings is None:
        raise SettingsError("\n".join(f"{source}:{_line_of(text, fault.place)}: {fault.why}" for fault in faults))
    return settings


def goals_of(settings: Settings, track: Track) -> tuple[Goal, ...]:
    """The person's goals, or the track's own."""
    if settings.goals is None:
        return track.goals
    return tuple(Goal(**msgspec.structs.asdict(goal)) for goal in settings.goals)


def require_known(settings: Settings, track: Track) -> None:
    """Raises NotFound for a metric or a family that the track has not: the goal would stay unknown for ever, and no
    daemon could begin."""
    for goal in settings.goals or ():
        track.metric(goal.metric)
    for name in (*(settings.designers.families or ()), *(settings.designers.pinned or {})):
        track.family(name)


def require_rented(settings: Settings) -> None:
    """Raises SettingsError for what no lab on an account can do."""
    if settings.training.job_class == "cpu":
        raise SettingsError("training.job_class: on an account what learns runs on the fleet gpu, whose machines alone "
                            "have what it needs; leave it out (with designers.families = [\"classic\"] nothing learns)")
    if settings.clips:
        raise SettingsError("[[clips]] name files of this machine, which no other reads; leave them out, and bring "
                            "each with `aether clips add FILE --role … --backend aws:…`")


def changes(before: Settings, after: Settings) -> dict[str, tuple[Any, Any]]:
    """`limits.minutes` → (before, after), of all that differ."""
    old, new = _flat(before), _flat(after)
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


def shown(value: Any) -> str:
    """One of these values, for people."""
    return "not set" if value is None else str(value)


def _flat(settings: Settings) -> dict[str, Any]:
    values = msgspec.to_builtins(settings)
    return {f"{table}.{key}" if key else table: value for table, keys in values.items()
            for key, value in (keys.items() if isinstance(keys, dict) else [("", keys)])}


def descriptions(section: type[Section]) -> dict[str, str]:
    """What each key of a section means."""
    hints = get_type_hints(section, include_extras=True)
    return {field.name: next((note.description for note in getattr(hints[field.name], "__metadata__", ())
                              if note.description is not None), "") for field in msgspec.structs.fields(section)}


def default_text() -> str:
    """A commented file with every key at its default; goals and clips as examples."""
    sections = [_section_text(field.name, field.type) for field in msgspec.structs.fields(Settings)
                if isinstance(field.type, type) and issubclass(field.type, Section)]
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
    described = descriptions(section)
    lines = [f"# {(section.__doc__ or '').strip()}", f"[{name}]"]
    for field in msgspec.structs.fields(section):
        shown = f"# {field.name} =" if field.default is None else f"{field.name} = {_toml(field.default)}"
        lines.append(f"{shown:<26}  # {described[field.name]}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value}"


def _line_of(text: str, location: Place) -> int:
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
