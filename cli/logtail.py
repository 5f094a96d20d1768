"""Warnings out of the logs of a run's processes, so that a person sees them without looking for files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

READ_BYTES = 1 << 20  # of each log in one look; what is more comes with the next
LOUD = ("warning", "error", "critical")
REASONS = ("why", "error", "exception")


class LogTail:
    """Follows the logs of a folder from where they stood."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read = {log: log.stat().st_size for log in folder.glob("*.log")}

    def warnings(self) -> list[str]:
        """One line for each that came since the last look."""
        found = list[str]()
        for log in sorted(self.folder.glob("*.log")):
            found += [warning for line in self._new_lines(log) if (warning := _warning(line))]
        return found

    def _new_lines(self, log: Path) -> Iterator[bytes]:
        since = self._read.get(log, 0)
        with log.open("rb") as file:
            since = since if file.seek(0, 2) >= since else 0  # it was put aside meanwhile
            file.seek(since)
            whole, end, _ = file.read(READ_BYTES).rpartition(b"\n")
        self._read[log] = since + len(whole) + len(end)
        return iter(whole.splitlines())


def _warning(line: bytes) -> str:
    """The event and its reason; empty for anything quieter, and for what is no event of ours."""
    try:
        event: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if not isinstance(event, dict) or event.get("level") not in LOUD:
        return ""
    reason = next((str(event[name]) for name in REASONS if event.get(name)), "")
    return ": ".join(part.splitlines()[-1] for part in (str(event.get("event", "")), reason) if part)
