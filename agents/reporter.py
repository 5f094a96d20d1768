"""The reporter: composes the report of a period and posts it into the outbox, once for each key, whoever asks.

`python -m agents.reporter ADDRESS KEY WHY` does it in a process of its own, beside the daemon or without one. The page
goes into the store; on the machine that composed it a copy lies at `report.html`, which always shows the latest.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from agents.gather import gather, settings_in_force
from agents.page import compose_html
from agents.report import compose
from agents.standing import alive, last_heard
from agents.words import HOUR_S, moment
from lab.backend import Backend, open_backend
from lab.clock import SystemClock, hour_key
from lab.control import Report
from lab.errors import AetherError, WrongState
from lab.files import SystemFiles
from lab.probe import from_environment, probed
from lab.track import load_track

PAGE = "report.html"
LAST = "end-"  # how the keys of the report that ends a run begin


def report(backend: Backend, key: str, why: str, now: float) -> Report:
    """The report of the period `key`, composed at `now` (wall clock, seconds). If that key is in the outbox already,
    the outbox stays as it is, and only the copy of the page is new."""
    track = load_track(settings_in_force(backend.ledger).lab.track)
    data = gather(backend, track, now, why, final=key.startswith(LAST))
    subject, text = compose(data)
    html = compose_html(data).encode()
    made = Report(key=key, subject=subject, text=text, html=backend.store.put_bytes(html), at=now)
    if backend.workplace is not None:
        copy_page(html, backend.workplace / PAGE)
    with suppress(WrongState):  # another reporter was quicker: one report a period is what was promised
        backend.ledger.office.post_report(made, op_id=f"report.{key}")
    return made


def hourly(backend: Backend, now: float) -> Report | None:
    """Without a daemon, or beside one: the report of the hour that ended. None where it is there already, where the lab
    is at rest (nobody ever ran it, or its daemon left by itself, with its run), and where a person wants none."""
    lease, key = backend.ledger.office.lease(), hour_key(now - HOUR_S)
    if lease is None or not lease.carried or not settings_in_force(backend.ledger).report.hourly:
        return None
    if backend.ledger.office.report(key) is not None:
        return None
    heard = last_heard(backend.ledger, lease)
    if alive(lease, heard, now) is False:
        return report(backend, key, f"hourly; no daemon has lived since {moment(heard or lease.since)}", now)
    began_since = hour_key(lease.since) > key  # then it tells itself of the hours that were missed
    return None if began_since else report(backend, key, "hourly", now)


def copy_page(html: bytes, target: Path) -> None:
    """Readers see the old page or the new one, never a half."""
    files, aside = SystemFiles(), target.with_name(f".{target.name}.{os.getpid()}.aside")
    files.write(aside, html)
    files.replace(aside, target)


def main(arguments: list[str]) -> int:
    if len(arguments) != 3:
        print("usage: python -m agents.reporter ADDRESS KEY WHY", file=sys.stderr)
        return 2
    address, key, why = arguments
    try:
        backend = probed(open_backend(address), from_environment(os.environ), SystemClock())
        report(backend, key, why, time.time())
    except AetherError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
