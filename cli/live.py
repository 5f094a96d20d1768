"""How a `Status` looks in a terminal: what runs, the best so far against the goals, the money, what ended last.

Pure: values in, something that rich can draw out. Text from experiments is shown as text, never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.output import clean, moment, number, seconds
from cli.watch import Best, EndedLine, GoalLine, MoneyLine, Status
from cli.words import PARTIAL, refuted
from lab.clipset import NO_FOOTAGE
from lab.money import usd
from lab.words import count

BAR = 14  # columns
FEW = 6  # of those refuted, named
STYLES = {"success": "green", "met": "green", "confirmed": "green", "partial": "yellow", "missed": "yellow",
          "unknown": "yellow", "failed": "red", "cancelled": "dim", "not_applicable": "dim"}
LEVELS = {"ok": "green", "medium": "yellow", "high": "red", "critical": "bold red"}
MARKS = {"met": "✓", "missed": "✗", "unknown": "?", "not_applicable": "–"}


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """What only the run itself knows: seconds since its start, its limits, and what a person should know."""

    elapsed_s: float
    minutes: float | None = None
    experiments: int | None = None
    done: int = 0  # explored experiments that ended in this run
    ending: str = ""
    notices: tuple[str, ...] = ()


def live(status: Status, run: RunLine) -> RenderableType:
    """The whole view of a run."""
    parts: list[RenderableType] = [_head(status, run), Text()]
    parts += [*_running(status), Text(), *best_lines(status), *_refuted(status), Text(), *recent_lines(status),
              _foot(status)]
    parts += [Text(clean(notice), style="yellow") for notice in run.notices]
    return Group(*parts)


def still(status: Status) -> RenderableType:
    """One look, for `aether status`."""
    words = {"running": f"daemon {status.daemon.pid} runs on {status.daemon.host}", "absent": "no daemon runs",
             "elsewhere": f"daemon {status.daemon.pid} on {status.daemon.host} holds it"}[status.daemon.state]
    words += f", held by the budget guard: {status.held}" if status.held else ", paused" if status.paused else ""
    head = Text.assemble((status.lab, "bold"), "  ", (words, "" if status.daemon.state != "absent" else "yellow"),
                         (f"  settings revision {status.settings or 'none'}", "dim"))
    return Group(head, Text(), *_running(status), Text(), *best_lines(status), *_refuted(status), Text(),
                 *recent_lines(status), _foot(status))


def best_lines(status: Status) -> list[RenderableType]:
    """The leader against each goal."""
    if status.best is None:
        judged = status.refuted or status.unproven
        none = "none that its confirmations bear out" if judged else "nothing measured yet"
        return [Text("Best so far", style="bold"), Text(f"  {none}", style="dim")]
    best = status.best
    head = Text.assemble(("Best so far  ", "bold"), best.id, "  ", (best.what, "cyan"), "  ",
                         (_belief(best), STYLES.get(best.status, "dim")))
    return [head, goal_table(best)]


def goal_table(best: Best) -> Table:
    rows = _grid("mark", "goal", "value", "aside", gives_way="aside")
    for line in best.goals:
        rows.add_row(Text("  " + MARKS[line.status], style=STYLES[line.status]), line.goal,
                     Text(number(line.value), style=STYLES[line.status], justify="right"),
                     Text(_aside(line), style="dim"))
    return rows


def recent_lines(status: Status) -> list[RenderableType]:
    if not status.recent:
        return []
    rows = _grid("id", "what", "verdict", "values", "worked", gives_way="what")
    for line in status.recent:
        rows.add_row("  " + line.id, Text(line.what, style="cyan", overflow="ellipsis", no_wrap=True),
                     Text(line.verdict, style=verdict_style(line.verdict)), Text(values(line)),
                     Text(seconds(line.used_s), justify="right", style="dim"))
    partial = any(line.verdict == "partial" for line in status.recent)
    head = Text.assemble(("Ended last", "bold"), (f"   partial: {PARTIAL}" if partial else "", "dim"))
    return [head, rows, Text()]


def money_text(lines: Iterable[MoneyLine]) -> Text:
    found = Text()
    for line in lines:
        found.append(f"{usd(line.spent)} of {usd(line.cap)} spent this {line.budget}")
        found.append(f", {usd(line.reserved)} reserved", style="dim")
        found.append("" if line.level == "ok" else f"  {line.level.upper()}", style=LEVELS[line.level])
        found.append("   ")
    return found


def plain(line: EndedLine) -> str:
    """One line for a log."""
    return f"{line.id}  {line.verdict:<8}  {values(line)}  {seconds(line.used_s):>8}  {line.what}"


def values(line: EndedLine) -> str:
    return "  ".join(f"{number(value)} {unit_of(metric)}" for metric, value in line.values.items() if value is not None)


def unit_of(metric: str) -> str:
    """By the house's rule a metric's name ends with its unit."""
    return {"mbps": "Mbps", "db": "dB", "pct": "%"}.get(metric.rpartition("_")[2], metric)


def verdict_style(verdict: str) -> str:
    return STYLES.get(verdict.partition(":")[0], "")


def _refuted(status: Status) -> list[RenderableType]:
    more = f" and {len(status.refuted) - FEW} more" if len(status.refuted) > FEW else ""
    return [Text(f"{refuted(status.refuted[:FEW])}{more}", style="dim")] if status.refuted else []


def _aside(line: GoalLine) -> str:
    if line.status == "not_applicable":
        return "does not apply"
    return line.why if line.why or line.share is None else f"met on {100 * line.share:.0f} % of the clips"


def _head(status: Status, run: RunLine) -> Text:
    words = run.ending or ("held by the budget guard" if status.held else "paused" if status.paused else "")
    limits = [f"{seconds(run.elapsed_s)} of {run.minutes:g} min" if run.minutes else seconds(run.elapsed_s)]
    limits += [f"{run.done} of {count(run.experiments, 'experiment')}"] if run.experiments else []
    return Text.assemble(("Aether ", "bold"), (status.lab, "bold cyan"), "   ", "   ".join(limits),
                         (f"   {words}" if words else "", "yellow"))


def _running(status: Status) -> list[RenderableType]:
    rows = _grid("id", "what", "phase", "bar", "note", "worked", gives_way="what")
    for line in status.running:
        bar: RenderableType = ProgressBar(total=1.0, completed=line.done, width=BAR) if line.done is not None else ""
        rows.add_row("  " + line.id, Text(line.what, style="cyan", overflow="ellipsis", no_wrap=True),
                     line.phase or "starting", bar, Text(line.note, style="dim", overflow="ellipsis", no_wrap=True),
                     Text(seconds(line.used_s), justify="right", style="dim"))
    waiting = status.states["queued"] + status.states["proposed"]
    head = Text.assemble(("Running", "bold"), (f"   {waiting} waiting" if waiting else "", "dim"))
    return [head, rows] if status.running else [head, Text(f"  {_idle(status, waiting)}", style="dim")]


def _idle(status: Status, waiting: int) -> str:
    if status.waits_for:
        return f"nothing; {NO_FOOTAGE}"
    if not waiting or status.paused or status.held:
        return "nothing at this moment"
    if status.daemon.state == "absent":
        return "nothing; what waits goes on with the next run"
    return "nothing yet; a worker that is ready takes up what waits"


def _foot(status: Status) -> RenderableType:
    counts = [count(status.experiments, "experiment")]
    counts += [f"{ended} {name}" for name, ended in sorted(status.outcomes.items()) if ended]
    money = money_text(status.money)
    if status.override_until:
        money.append(f"levels overridden until {moment(status.override_until)} UTC", style="bold yellow")
    return Group(Text(" · ".join(counts), style="dim"), money)


def _belief(best: Best) -> str:
    met = "meets every goal" if best.meets else "the nearest to the goals"
    words = {"candidate": "", "confirming": "; being confirmed",
             "confirmed": "; confirmed: three runs of their own came out as well"}
    return met + words[best.status]


def _grid(*columns: str, gives_way: str) -> Table:
    """Without lines. Where the terminal is too narrow, one column alone gives way."""
    found = Table(box=box.SIMPLE, show_header=False, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        found.add_column(name, no_wrap=name != gives_way)
    return found
