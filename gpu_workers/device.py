"""The device class: what timings were taken on, as one stable word such as `cpu:amd-epyc-fam26m2:2`.

Speeds of two classes are never compared. The class names the processor and how many cores this process may use,
since a container of two cores on a large machine is another device than the machine; behind a plus, the first NVIDIA
card, by what its driver says.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
CARDS = Path("/proc/driver/nvidia/gpus")  # a folder each, with a file `information`


def device_class(cpuinfo: Path = CPUINFO, cards: Path = CARDS) -> str:
    processor = f"cpu:{_processor(_fields(cpuinfo))}:{len(os.sched_getaffinity(0))}"
    models = [_fields(card).get("Model", "nvidia") for card in sorted(cards.glob("*/information"))]
    return f"{processor}+{_word(models[0])}" if models else processor


def _fields(cpuinfo: Path) -> dict[str, str]:
    """The first block of such a file, as /proc/cpuinfo has one a processor; empty where there is no such file."""
    try:
        text = cpuinfo.read_text(errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _processor(fields: dict[str, str]) -> str:
    """Name, family and model together: clouds sell several generations under one name ("AMD EPYC")."""
    name = fields.get("model name") or fields.get("CPU implementer") or platform.machine()
    words = re.sub(r"\((r|tm)\)|\bcpu\b|@.*|\b\d+-core\b|\bprocessor\b", " ", name, flags=re.IGNORECASE)
    family = fields.get("cpu family") or fields.get("CPU architecture")
    model = fields.get("model") or fields.get("CPU part")
    suffix = f"-fam{family}m{model}" if family and model else ""
    return _word(words) + suffix


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
