"""`aether demo`: the whole promise in five minutes, on the footage that ships with Aether.

It is `aether run` with settings made for it, in ./demo-lab; run again, it carries on from there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.output import JsonOption
from cli.run import Plan, start
from lab.errors import UserError

CLIPS = Path(__file__).resolve().parent.parent / "clips"
FOLDER = "demo-lab"
ROLES = ("train", "score", "confirm")
MINUTES = 5.0
MOST_THREADS = 8  # of each encoder; more do not help pictures so small

SETTINGS = """# The settings of `aether demo`: a short run to a deadline, on the footage that ships with Aether.

[lab]
name = "demo"

[budget]
monthly_usd = 1.0

[limits]
minutes = {minutes:g}
stop_at_goal = false  # easy clips meet the goal at once; it goes on to the deadline
workers = 1
threads = {threads}
phase_s = 120.0
beat_s = 1.0

[report]
hourly = false
"""


def demo(
    minutes: Annotated[float, typer.Option(help="How long it may take in all.", min=0.5)] = MINUTES,
    seed: Annotated[int | None, typer.Option(help="The same proposals each time.")] = None,
    json: JsonOption = False,
) -> int:
    """Real codec experiments on shipped footage: live progress, a table, a Pareto picture and a report.

    The laboratory is ./demo-lab. Run again, it carries on where it stopped.
    """
    text = settings_text(minutes, len(os.sched_getaffinity(0)))
    return start(Plan(backend=f"local:./{FOLDER}", text=text, base=CLIPS, seed=seed, json=json))


def settings_text(minutes: float, cores: int) -> str:
    """Settings that fill so many cores for so many minutes. One worker with all the threads: every experiment times its
    decoder with the machine to itself, and a second worker would wait for that, or make it wait for a slow encode."""
    return SETTINGS.format(minutes=minutes, threads=min(cores, MOST_THREADS)) + clips_text(CLIPS)


def clips_text(folder: Path) -> str:
    """The footage as settings: the last word of a file's name is its role."""
    found = [(path.name, path.stem.rpartition("_")[2]) for path in sorted(folder.glob("*.mp4"))]
    if not any(role == "score" for _, role in found):
        raise UserError(f"the demo's footage is not in {folder}; run `aether demo` from a checkout of Aether")
    return "".join(f'\n[[clips]]\npath = "{name}"\nrole = "{role}"\n' for name, role in found if role in ROLES)
