"""`aether demo`: the whole promise in five minutes on the footage that ships with Aether.

It is `aether run` with settings made for it, in ./demo-lab; run again, it carries on from there. With `--learned`
networks are trained beside the classic encoders, small and for seconds, so that ten minutes show some of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.families import FIX
from cli.fresh import made_for
from cli.output import JsonOption, new_op
from cli.run import Plan, start
from lab.control import Idea
from lab.errors import UserError
from lab.space import Value
from lab.track import load_track

CLIPS = Path(__file__).resolve().parent.parent / "clips"
FOLDER = "demo-lab"
ROLES = ("train", "score", "confirm")
MINUTES, LEARNED_MINUTES = 5.0, 10.0
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
phase_s = {phase_s:g}
beat_s = 1.0

[report]
hourly = false
"""

TRAINING = """
[training]
steps = 200  # half a minute on two cores

[designers]
pinned = {{ {pinned} }}
"""
PINNED: dict[str, dict[str, Value]] = {  # what shows something within the minutes of a demo
    "restore": {"steps": 200, "channels": 8, "mode": "overfitted"},
    "hyperprior": {"transform": "dct16", "channels": 128, "frames": 1, "synthesis": "float", "rate": 0.002,
                   "crop": 128},
}
FIRST = Idea(key="", family="hyperprior", hypothesis="the demo's first network: what half a minute of training gives",
             params={**PINNED["hyperprior"], "price": 0.0075, "step": 1.0, "chroma": 0.5})


def demo(
    minutes: Annotated[float | None, typer.Option(help=f"How long it may take in all; {MINUTES:g}, or with --learned "
                                                  f"{LEARNED_MINUTES:g}.", min=0.5, show_default=False)] = None,
    learned: Annotated[bool, typer.Option("--learned", help="Train networks beside the classic encoders.")] = False,
    seed: Annotated[int | None, typer.Option(help="The same proposals each time.")] = None,
    json: JsonOption = False,
) -> int:
    """Real codec experiments on shipped footage: live progress, a table, a Pareto picture and a report.

    The laboratory is ./demo-lab. Run again, it carries on where it stopped.
    """
    text = settings_text(minutes or (LEARNED_MINUTES if learned else MINUTES), len(os.sched_getaffinity(0)), learned)
    if learned:
        ask_for_a_network(f"local:./{FOLDER}")
    return start(Plan(backend=f"local:./{FOLDER}", text=text, base=CLIPS, seed=seed, json=json))


def ask_for_a_network(address: str) -> None:
    """The first experiment of a demo that has none yet. Raises UserError where networks cannot run here."""
    if missing := load_track("codec").family(FIRST.family).missing():
        raise UserError(f"no {' and no '.join(missing)} here; {FIX}")
    with made_for(address) as lab:
        if not lab.ledger.experiments(limit=1) and not lab.ledger.office.ideas():
            lab.ledger.office.add_idea(msgspec.structs.replace(FIRST, key=new_op("demo")), op_id=new_op("idea"))


def settings_text(minutes: float, cores: int, learned: bool = False) -> str:
    """Settings that fill so many cores for so many minutes. One worker with all the threads: every experiment times its
    decoder with the machine to itself, and a second worker would wait for that, or make it wait for a slow encode."""
    limits = SETTINGS.format(minutes=minutes, threads=min(cores, MOST_THREADS), phase_s=600 if learned else 120)
    if learned:
        return limits + TRAINING.format(pinned=_inline(PINNED)) + clips_text(CLIPS)
    return f'{limits}\n[designers]\nfamilies = ["classic"]\n{clips_text(CLIPS)}'


def _inline(tables: dict[str, dict[str, Value]]) -> str:
    """As inline tables of TOML, whose numbers and texts are written as in JSON."""
    return ", ".join(f"{name} = {{ {', '.join(f'{key} = {_value(value)}' for key, value in table.items())} }}"
                     for name, table in tables.items())


def _value(value: Value) -> str:
    return msgspec.json.encode(value).decode()


def clips_text(folder: Path) -> str:
    """The footage as settings: the last word of a file's name is its role."""
    found = [(path.name, path.stem.rpartition("_")[2]) for path in sorted(folder.glob("*.mp4"))]
    if not any(role == "score" for _, role in found):
        raise UserError(f"the demo's footage is not in {folder}; run `aether demo` from a checkout of Aether")
    return "".join(f'\n[[clips]]\npath = "{name}"\nrole = "{role}"\n' for name, role in found if role in ROLES)
