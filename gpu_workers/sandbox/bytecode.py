"""Compiling what boxes will import: a box cannot keep what it compiles, so each would compile all of it again.

Installers leave no bytecode behind. One plain process imports the libraries that the tracks' families name, once in the
life of an environment, and Python keeps what it compiled.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lab.track import Track

IMPORT_S = 300.0  # on a busy machine; what is not ready by then is compiled in the boxes


def compile_needs(tracks: Iterable[Track]) -> list[str]:
    """Gives the libraries that were imported for it: none, but the first time, and where nothing is to be kept."""
    if sys.dont_write_bytecode:
        return []
    needs = {name for track in tracks for family in track.families if not family.missing() for name in family.needs}
    missing = sorted(name for name in needs if _lacks_bytecode(name))
    if missing:
        with suppress(subprocess.TimeoutExpired):
            subprocess.run([sys.executable, "-c", f"import {', '.join(missing)}"], stdin=subprocess.DEVNULL,
                           capture_output=True, check=False, timeout=IMPORT_S)
    return missing


def _lacks_bytecode(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.cached is None or spec.origin is None or not spec.origin.endswith(".py"):
        return False
    return not Path(spec.cached).exists() and os.access(Path(spec.origin).parent, os.W_OK)
